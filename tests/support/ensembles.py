"""Small networks, n-grams and texts for ensembles."""

import numpy as np
import torch

from charlm.config.schema import ModelConfig
from charlm.corpus.corpus import Split
from charlm.corpus.vocabulary import UNKNOWN_TYPE
from charlm.models.language_model import LanguageModel

SIZE = 5


def some_ids(seed: int, length: int = 300) -> np.ndarray:
    """A text with something to learn: mostly cycles, some noise."""
    random = np.random.default_rng(seed)
    ids = np.arange(length) % SIZE
    noise = random.random(length) < 0.2
    ids[noise] = random.integers(SIZE, size=noise.sum())
    return ids.astype(np.int64)


def make_member(seed: int) -> LanguageModel:
    model = LanguageModel(ModelConfig(hidden_size=16, embedding_size=8), SIZE)
    model.initialize(torch.Generator().manual_seed(seed))
    return model.eval()


def part_of(ids: np.ndarray) -> Split:
    return Split(ids.astype(np.uint8), np.ones(SIZE, np.uint8), np.zeros(0, UNKNOWN_TYPE))
