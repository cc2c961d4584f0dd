"""Dropout whose masks do not depend on how a batch is divided among processes.

Srivastava and others, "Dropout", 2014. PyTorch's own dropout draws from the global generator,
which cannot be saved with a run, and takes a fifth of the time of a training step.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt
from torch import Tensor

_BLOCK_COLUMNS = 64
"""Number of columns that share a random generator."""
_ROUNDING_TOLERANCE = 0.02
"""Largest error of a rounded dropout probability, relative to it and to its complement."""

Number = type[np.uint8 | np.uint16 | np.uint32]
"""Integer types of the random numbers, one per position."""


class Masks:
    """Random numbers for the dropout masks of one batch, or of some of its columns.

    A mask depends only on the seed and on the column's number, so there is no state to save. Each
    block of 64 columns has a generator of its own, so that a process with some columns of a large
    batch draws little more than the numbers of these columns.
    """

    def __init__(self, seed: Sequence[int], num_columns: int, columns: range | None = None) -> None:
        columns = range(num_columns) if columns is None else columns
        numbers = range(columns.start // _BLOCK_COLUMNS, -(-columns.stop // _BLOCK_COLUMNS))
        self._begin = _BLOCK_COLUMNS * numbers.start
        self._columns = columns
        self._for_all = np.random.Generator(np.random.SFC64([*seed]))
        self._blocks = [
            (
                np.random.Generator(np.random.SFC64([*seed, number])) if number else self._for_all,
                min(_BLOCK_COLUMNS, num_columns - _BLOCK_COLUMNS * number),
            )
            for number in numbers
        ]

    def for_columns(
        self, time: int, size: int, number: Number = np.uint8
    ) -> UInt[np.ndarray, "time columns size"]:
        """Draw numbers for each column."""
        drawn = [_draw(random, (time, width, size), number) for random, width in self._blocks]
        blocks = drawn[0] if len(drawn) == 1 else np.concatenate(drawn, axis=1)
        return blocks[:, self._columns.start - self._begin : self._columns.stop - self._begin]

    def for_all(
        self, rows: int, size: int, number: Number = np.uint8
    ) -> UInt[np.ndarray, "rows size"]:
        """Draw numbers that all columns share; call it before `for_columns`."""
        return _draw(self._for_all, (rows, size), number)


def _draw(
    random: np.random.Generator, shape: tuple[int, ...], number: Number
) -> UInt[np.ndarray, "..."]:
    return random.integers(0, np.iinfo(number).max, shape, number, endpoint=True)


def threshold(probability: float) -> tuple[Number, int, int]:
    """Return the integer type to draw, the number of its values, and the threshold for dropping.

    The type has 8 bits if the probability can be rounded to that many, else 16 or 32 bits.
    """
    number: Number
    for number in (np.uint8, np.uint16, np.uint32):
        values = int(np.iinfo(number).max) + 1
        dropped = min(round(values * probability), values - 1)
        if abs(dropped / values - probability) <= _ROUNDING_TOLERANCE * min(
            probability, 1 - probability
        ):
            break
    return number, values, dropped


def drop_vectors(
    vectors: Float[Tensor, "symbols size"], probability: float, masks: Masks | None
) -> Float[Tensor, "symbols size"]:
    """Zero components of characters' vectors at random, the same in the whole batch."""
    if probability == 0.0:
        return vectors
    number, values, dropped = threshold(probability)
    rows, size = vectors.shape
    drawn = _require_masks(masks).for_all(rows, size, number)
    return _drop(vectors, drawn, values, dropped)


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
    number, values, dropped = threshold(probability)
    drawn = _require_masks(masks).for_columns(time, hidden.shape[2], number)
    return _drop(hidden, drawn, values, dropped)


def _require_masks(masks: Masks | None) -> Masks:
    assert masks is not None, "a model in training mode needs masks"
    return masks


def _drop(
    units: Float[Tensor, "*places"], drawn: UInt[np.ndarray, "..."], values: int, dropped: int
) -> Float[Tensor, "*places"]:
    """Zero units whose random number is below `dropped`, of `values`; scale up the others."""
    keep = torch.from_numpy(drawn >= dropped)
    return units * keep.to(units.device, units.dtype).mul_(values / (values - dropped))
