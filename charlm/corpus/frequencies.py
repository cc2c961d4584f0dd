"""Estimate the frequency of each character in a text."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from charlm.corpus.vocabulary import Ids

_WINDOWS, _WINDOW = 256, 4096
"""How many windows of a long text are counted, and how many characters of each."""


def estimate_frequencies(ids: Ids, vocabulary_size: int) -> Float[Tensor, " vocabulary"]:
    """Return the frequency of each id in a text, with one added to each count.

    Of a long text, only windows spread evenly over it are counted.
    """
    if len(ids) > _WINDOWS * _WINDOW:
        starts = np.linspace(0, len(ids) - _WINDOW, _WINDOWS).astype(np.int64)
        ids = np.concatenate([ids[start : start + _WINDOW] for start in starts])
    counts = np.bincount(ids, minlength=vocabulary_size) + 1.0
    return torch.from_numpy((counts / counts.sum()).astype(np.float32))
