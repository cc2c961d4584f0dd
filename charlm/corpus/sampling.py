"""The two sampling methods of the book: which segments of a text form a batch.

A column of a batch's inputs X is a segment of the text. The same column of the targets Y is the
segment one character later. X and Y are (time, batch). In the drawings, time runs down the page,
`_` comes before the offset, and `m` is a target only.

`batches.py` adds what training needs: endless epochs that a run resumes anywhere, drawn offsets and
orders, the columns of one of several processes, hidden rare characters.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from charlm.corpus.vocabulary import Ids

Order = Callable[[Int64[np.ndarray, "n"]], Int64[np.ndarray, "n"]]
"""A permutation: maps positions in the epoch to windows."""


class Cut(NamedTuple):
    """How an epoch cuts a text of `num_characters`; it omits those before the `offset`."""

    num_characters: int
    offset: int
    batch_size: int
    sequence_length: int

    @property
    def num_windows(self) -> int:
        """Number of windows of random sampling."""
        return self._num_inputs // self.sequence_length

    @property
    def column_length(self) -> int:
        """Number of inputs in each column of sequential sampling, over all batches of the epoch."""
        return self._num_inputs // self.batch_size

    @property
    def _num_inputs(self) -> int:
        """Number of characters from the offset on, except the last one, which has no target."""
        return self.num_characters - self.offset - 1


class Segments(NamedTuple):
    """The inputs of a batch, as places in the text."""

    starts: Int64[np.ndarray, " batch"]
    length: int


def random_sampling(cut: Cut, order: Order, number: int) -> Segments:
    """Return batch `number` of random sampling: shuffled windows, each from the initial state.

    The windows of `sequence_length` characters tile the text from the offset. Each is a column of
    one batch an epoch. The last batch may have fewer columns.

        text       _ a b c d e f g h i j k l m
        windows      0     1     2     3
        order      2 0 3 1

        batch 0    g a
                   h b
                   i c
        batch 1    j d
                   k e
                   l f
    """
    first = number * cut.batch_size
    places = np.arange(first, min(first + cut.batch_size, cut.num_windows))
    return Segments(cut.offset + order(places) * cut.sequence_length, cut.sequence_length)


def sequential_sampling(cut: Cut, number: int) -> Segments:
    """Return batch `number` of sequential sampling: its columns continue those of the previous one.

    `batch_size` long columns tile the text from the offset. A batch reads the next
    `sequence_length` characters of each, the last one perhaps fewer. The state is kept from batch
    to batch; only the first batch of an epoch begins with the initial state.

        text       _ a b c d e f g h i j k l m
        columns      0           1

        batch 0    a g
                   b h
                   c i
        batch 1    d j
                   e k
                   f l
    """
    first = number * cut.sequence_length
    length = min(cut.sequence_length, cut.column_length - first)
    starts = cut.offset + first + cut.column_length * np.arange(cut.batch_size)
    return Segments(starts, length)


def read_segments(ids: Ids, segments: Segments) -> Int64[np.ndarray, "rows batch"]:
    """Return the segments as columns, each with the character after it.

    All rows but the last are the inputs X; all rows but the first are the targets Y.
    """
    starts, length = segments
    columns = np.empty((length + 1, len(starts)), np.int64)
    for number, start in enumerate(starts):
        columns[:, number] = ids[start : start + length + 1]
    return columns
