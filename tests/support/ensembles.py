"""Small networks, n-grams and texts for ensembles."""

import numpy as np
import torch

from charlm.config.schema import ModelConfig
from charlm.corpus.corpus import Split
from charlm.corpus.letters import FIELD_END, LINE_END
from charlm.corpus.vocabulary import UNKNOWN_TYPE
from charlm.models.language_model import LanguageModel
from charlm.models.ngrams.lines import LINE_WINDOW
from charlm.models.ngrams.words import WORD_WINDOW

SIZE = 5
LETTERS = np.array([FIELD_END, 1, 2, 1, LINE_END])
"""Symbols 1 and 3 are one letter in two cases; 0 and 4 are no letters."""


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
    """A text in which most lines are like the line before; a few are as long as the window."""
    random = np.random.default_rng(seed)
    line, text = random.choice(3, 9), list[int]()
    while len(text) < length:
        line[random.integers(len(line), size=2)] = random.choice(4, 2, p=[0.3, 0.4, 0.2, 0.1])
        line = line[3:] if len(line) > 20 else np.append(line, random.choice(3, random.integers(3)))
        text += [*line, 4]
        if random.random() < 0.04:
            text += random.choice(3, LINE_WINDOW - random.integers(45)).tolist()
        if random.random() < 0.1:
            text += [4]
    return np.array(text[:length], np.int64)


def repetitive(seed: int, length: int) -> np.ndarray:
    """A text in which passages of 3 to 50 characters come again, some of them one after another."""
    random = np.random.default_rng(seed)
    ids = random.choice(SIZE, 60, p=[0.2, 0.3, 0.25, 0.2, 0.05])
    while len(ids) < length:
        start, size = random.integers(len(ids)), random.integers(3, 50)
        ids = np.concatenate([ids, ids[start : start + size], random.integers(0, SIZE, 2)])
    return ids[:length].astype(np.int64)
