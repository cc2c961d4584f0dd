"""Iterate over the batches of one process: what both sampling methods need in training."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from charlm.corpus.record_order import in_new_order
from charlm.corpus.sampling import Cut, Segments, read_segments
from charlm.corpus.vocabulary import Ids
from charlm.errors import CorpusError
from charlm.formatting import count


class Batch(NamedTuple):
    """Examples side by side: at every step, the target is the character after the input."""

    inputs: Int64[Tensor, "time batch"]
    targets: Int64[Tensor, "time batch"]
    continues: bool
    """Whether column `i` continues column `i` of the previous batch."""
    first_column: int = 0
    """Number of the first column in the whole batch, which several processes may share."""
    num_elsewhere: int = 0
    """Number of columns of the whole batch in other processes."""
    starts: Int64[np.ndarray, " batch"] | None = None
    """Position in the text of the first input of each column; None where the text is reordered."""
    epoch: int = 0
    """Number of the epoch, from 0."""

    @property
    def num_columns(self) -> int:
        """Number of columns of the whole batch."""
        return self.inputs.shape[1] + self.num_elsewhere

    @property
    def num_predictions(self) -> int:
        """Number of characters that the whole batch predicts."""
        return len(self.targets) * self.num_columns


class Position(NamedTuple):
    """The next batch of an iterator: number `batch` of this epoch."""

    epoch: int
    batch: int


_HAPAX_SEED = 2**32 - 1
"""Third number of the seed for hidden hapaxes; the one for resets, a batch number, is smaller."""

_ORDER_SEED = 2**32 - 2
"""Third number of the seed for the order of records."""

Share = Callable[[int], range]
"""Function that returns the columns of this process from the number of all columns."""


class BatchIterator(ABC):
    """Batches of an endless sequence of epochs; each epoch has a layout drawn from its own seed.

    The position, `(epoch, batch)`, is the whole state: seed and epoch decide the layout, so an
    iterator resumes exactly, without reading earlier batches. Subclasses lay out an epoch and
    return its batches.
    """

    def __init__(
        self,
        ids: Ids,
        batch_size: int,
        sequence_length: int,
        seed: int,
        random_offset: bool = True,
        share: Share = range,
        boundary: int | None = None,
    ) -> None:
        """With a `boundary` between records, each epoch has its own order of the records."""
        self._share = share
        self._boundary, self._text = boundary, ids
        self.ids = ids
        """The text of this epoch."""
        self.batch_size = batch_size
        self.sequence_length = sequence_length
        self.seed = seed
        self.random_offset = random_offset
        self._hapaxes, self._hiding_probability = np.empty(0, np.int64), 0.0
        self.restore(Position(0, 0))

    def hide_hapaxes(self, hapaxes: Sequence[int], probability: float) -> None:
        """Read rare ids as the unknown symbol, id 0, with this probability in each epoch.

        The network learns where unknown characters occur and what follows them (Dyer and others,
        "Transition-based dependency parsing with stack LSTMs", 2015).
        """
        self._hapaxes, self._hiding_probability = np.array(hapaxes, np.int64), probability
        self._draw_hidden()

    def _draw_hidden(self) -> None:
        """Draw the ids that are hidden in this epoch."""
        random = np.random.default_rng([self.seed, self._epoch, _HAPAX_SEED])
        is_hidden = random.random(len(self._hapaxes)) < self._hiding_probability
        self._hidden = self._hapaxes[is_hidden]

    @property
    def position(self) -> Position:
        return Position(self._epoch, self._index)

    def restore(self, position: Position) -> None:
        """Move to a position, as if all batches before it had been read."""
        self._epoch, self._index = position
        if self._boundary is not None:
            order = np.random.default_rng([self.seed, self._epoch, _ORDER_SEED])
            self.ids = in_new_order(self._text, self._boundary, order)
        self._num_batches = self._lay_out(np.random.default_rng([self.seed, self._epoch]))
        self._draw_hidden()

    @property
    def epochs(self) -> float:
        """Number of epochs that have been read, with fractions."""
        return self._epoch + self._index / self._num_batches

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        batch = self._batch(self._index)
        self._index += 1
        if self._index == self._num_batches:
            self.restore(Position(self._epoch + 1, 0))
        return batch

    @abstractmethod
    def _lay_out(self, random: np.random.Generator) -> int:
        """Draw how the epoch cuts the text; return its number of batches."""

    @abstractmethod
    def _batch(self, index: int) -> Batch:
        """Return batch number `index` of the epoch."""

    def _check_length(self, needed: int, purpose: str, key: str) -> None:
        """Raise `CorpusError` if the text has too few ids; the remedy is to lower `key`."""
        if len(self.ids) < needed:
            raise CorpusError(
                f"the training split has {count(len(self.ids), 'character')}, but {purpose} "
                f"{needed:,}; lower {key} or add text"
            )

    def _draw_cut(self, random: np.random.Generator, below: int, needed: int) -> Cut:
        """Return a cut of the text at an offset that is less than `below`.

        At least `needed` ids follow the offset.
        """
        offset = 0
        if self.random_offset:
            offset = int(random.integers(min(below, len(self.ids) - needed + 1)))
        return Cut(len(self.ids), offset, self.batch_size, self.sequence_length)

    def _examples(self, segments: Segments, continues: bool) -> Batch:
        """Make a batch of this process's columns, without the hidden characters."""
        columns = self._share(len(segments.starts))
        starts = segments.starts[columns.start : columns.stop]
        ids = read_segments(self.ids, Segments(starts, segments.length))
        if len(self._hidden):
            ids[np.isin(ids, self._hidden)] = 0
        inputs, targets = torch.from_numpy(ids[:-1]), torch.from_numpy(ids[1:])
        num_elsewhere = len(segments.starts) - len(columns)
        places = starts if self._boundary is None else None
        return Batch(inputs, targets, continues, columns.start, num_elsewhere, places, self._epoch)
