"""Small networks as teachers and students."""

import torch

from charlm.config.schema import ModelConfig
from charlm.models.language_model import LanguageModel

SIZE = 5


def network(seed: int, hidden_size: int = 12) -> LanguageModel:
    model = LanguageModel(ModelConfig(hidden_size=hidden_size, embedding_size=4), SIZE)
    model.initialize(torch.Generator().manual_seed(seed))
    return model
