"""Estimate the frequency of each character in a text."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from charlm.corpus.vocabulary import Ids

_NUM_WINDOWS = 256
"""Number of windows in which the characters of a long text are counted."""
_WINDOW_CHARACTERS = 4096


def estimate_frequencies(ids: Ids, vocabulary_size: int) -> Float[Tensor, " vocabulary"]:
    """Return the frequency of each id in a text, with one added to each count.

    In a long text, only windows that are spread evenly over it are counted.
    """
    if len(ids) > _NUM_WINDOWS * _WINDOW_CHARACTERS:
        starts = np.linspace(0, len(ids) - _WINDOW_CHARACTERS, _NUM_WINDOWS).astype(np.int64)
        ids = np.concatenate([ids[start : start + _WINDOW_CHARACTERS] for start in starts])
    counts = np.bincount(ids, minlength=vocabulary_size) + 1.0
    return torch.from_numpy((counts / counts.sum()).astype(np.float32))
