"""Small networks, n-grams and texts for ensembles."""

import numpy as np
import torch

from charlm.config.schema import ModelConfig
from charlm.corpus.corpus import Split
from charlm.corpus.vocabulary import UNKNOWN_TYPE
from charlm.models.language_model import LanguageModel
from charlm.models.ngrams.lines import LINE_WINDOW
from charlm.models.ngrams.words import WORD_WINDOW

SIZE = 5
LETTERS = np.array([0, 1, 2, 1, -1])
"""Symbols 1 and 3 are one letter in two cases; 0 and 4 are no letters, and 4 ends a line."""


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


def words_of(seed: int, length: int) -> np.ndarray:
    """A text of short words, and of a few that are longer than the window."""
    random = np.random.default_rng(seed)
    ids = random.choice(SIZE, length, p=[0.15, 0.3, 0.25, 0.25, 0.05])
    for start in random.integers(length, size=2):
        ids[start : start + WORD_WINDOW + 5] = np.where(ids[start : start + WORD_WINDOW + 5], 1, 2)
    return ids.astype(np.int64)


def lines_of(seed: int, length: int) -> np.ndarray:
    """A text of lines, of which some are like the line before, and one is longer than half of the
    window."""
    random = np.random.default_rng(seed)
    lines = [random.choice(4, LINE_WINDOW // 2 + 30)]
    while sum(map(len, lines)) < length:
        line = lines[random.integers(len(lines))][: random.integers(3, 60)].copy()
        line[random.integers(len(line), size=2)] = random.integers(4, size=2)
        lines.append(np.append(line, 4))
    order = random.permutation(len(lines))
    return np.concatenate([lines[number] for number in order])[:length].astype(np.int64)


def repetitive(seed: int, length: int) -> np.ndarray:
    """A text in which passages of 3 to 50 characters come again, some of them one after another."""
    random = np.random.default_rng(seed)
    ids = random.choice(SIZE, 60, p=[0.2, 0.3, 0.25, 0.2, 0.05])
    while len(ids) < length:
        start, size = random.integers(len(ids)), random.integers(3, 50)
        ids = np.concatenate([ids, ids[start : start + size], random.integers(0, SIZE, 2)])
    return ids[:length].astype(np.int64)
