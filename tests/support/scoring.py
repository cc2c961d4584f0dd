"""Small models and texts to score."""

import numpy as np
import torch

from charlm.config.schema import ModelConfig
from charlm.corpus.corpus import Split
from charlm.corpus.vocabulary import UNKNOWN_TYPE
from charlm.models.language_model import LanguageModel

VOCABULARY = 11


def make_model(**keys: object) -> LanguageModel:
    config = ModelConfig.model_validate({"hidden_size": 12, "embedding_size": 6, **keys})
    model = LanguageModel(config, VOCABULARY)
    model.initialize(torch.Generator().manual_seed(0))
    return model.eval()


def random_ids(length: int) -> np.ndarray:
    return np.random.default_rng(length).integers(0, VOCABULARY, length).astype(np.uint8)


def a_split(ids: np.ndarray) -> Split:
    return Split(ids, np.ones(VOCABULARY, np.uint8), np.zeros(0, UNKNOWN_TYPE))
