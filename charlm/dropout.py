"""Dropout, with masks that are the same however a batch is divided.

PyTorch's own dropout draws from the global generator, which cannot be saved with a run, and takes a
fifth of the time of a training step.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

_BLOCK = 64
"""Columns that share a generator: what is drawn for some of them is drawn for all."""


class Masks:
    """Draws random bytes for one batch, or for some of its columns: what the whole would have had.

    The seed decides on every mask, so there is nothing to save. Each block of 64 columns has a
    generator of its own; whoever has a part of a large batch draws little more than its own masks,
    and of a small one all of them.
    """

    def __init__(self, seed: Sequence[int], num_columns: int, columns: range | None = None) -> None:
        columns = range(num_columns) if columns is None else columns
        numbers = range(columns.start // _BLOCK, -(-columns.stop // _BLOCK))
        self._begin = _BLOCK * numbers.start
        self._columns = columns
        self._for_all = np.random.Generator(np.random.SFC64([*seed]))
        self._blocks = [
            (
                np.random.Generator(np.random.SFC64([*seed, number])) if number else self._for_all,
                min(_BLOCK, num_columns - _BLOCK * number),
            )
            for number in numbers
        ]

    def for_columns(self, time: int, size: int) -> UInt8[np.ndarray, "time columns size"]:
        """Draw what differs from column to column."""
        drawn = [
            random.integers(0, 256, (time, width, size), np.uint8) for random, width in self._blocks
        ]
        blocks = drawn[0] if len(drawn) == 1 else np.concatenate(drawn, axis=1)
        return blocks[:, self._columns.start - self._begin : self._columns.stop - self._begin]

    def for_all(self, rows: int, size: int) -> UInt8[np.ndarray, "rows size"]:
        """Draw what all columns share; to be called before `for_columns`."""
        return self._for_all.integers(0, 256, (rows, size), np.uint8)


def drop_vectors(
    vectors: Float[Tensor, "symbols size"], probability: float, masks: Masks | None
) -> Float[Tensor, "symbols size"]:
    """Zero components of characters' vectors at random, wherever in the batch they stand."""
    if probability == 0.0:
        return vectors
    return _drop(vectors, probability, _given(masks).for_all(*vectors.shape))


def drop_units(
    hidden: Float[Tensor, "time batch size"],
    probability: float,
    masks: Masks | None,
    over_time: bool = False,
) -> Float[Tensor, "time batch size"]:
    """Zero units at random and scale up the rest (dropout: Srivastava and others, 2014).

    `over_time` draws one mask for all time steps (Gal and Ghahramani, 2016).
    """
    if probability == 0.0:
        return hidden
    time = 1 if over_time else len(hidden)
    return _drop(hidden, probability, _given(masks).for_columns(time, hidden.shape[2]))


def _given(masks: Masks | None) -> Masks:
    assert masks is not None, "a model in training mode is given what draws its masks"
    return masks


def _drop(
    values: Float[Tensor, "*places"], probability: float, drawn: UInt8[np.ndarray, "..."]
) -> Float[Tensor, "*places"]:
    """Drop where the byte is small: the probability is rounded to 1/256."""
    dropped = min(round(256 * probability), 255)
    kept = torch.from_numpy(drawn >= dropped)
    return values * kept.to(values.device, values.dtype).mul_(256 / (256 - dropped))
