"""A stream of ids as batches of training examples, by the book's two ways of sampling.

Both are endless iterators over epochs. Their whole position is two numbers, `(epoch, index)`: what
an epoch's order is follows from the seed and the epoch alone, so going on where one stopped is
exact and costs nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64, Integer
from torch import Tensor

from charlm.config.schema import BatchesConfig
from charlm.corpus.vocabulary import Ids
from charlm.errors import CorpusError


class Batch(NamedTuple):
    """Examples side by side: at every step, the target is the character after the input."""

    inputs: Int64[Tensor, "time batch"]
    targets: Int64[Tensor, "time batch"]
    continues: bool
    """Whether column `i` goes on from column `i` of the batch before."""
    first_column: int = 0
    """The place of its first column, where others have columns of the same batch."""
    num_others: int = 0
    """How many columns others have."""

    @property
    def num_columns(self) -> int:
        """Columns of the whole batch."""
        return self.inputs.shape[1] + self.num_others

    @property
    def num_predictions(self) -> int:
        """Characters that the whole batch predicts."""
        return len(self.targets) * self.num_columns


class Position(NamedTuple):
    """Where an iterator stands: the next batch is number `batch` of this epoch."""

    epoch: int
    batch: int


_HIDING = 2**32 - 1
"""Stands where the draws of an epoch's resets have an index: no epoch has so many batches."""

Share = Callable[[int], range]
"""Which columns, of so many, are one's own."""


class _Batches:
    """What both samplings share: epochs, each laid out by a random generator of its own."""

    def __init__(
        self,
        ids: Ids,
        batch_size: int,
        sequence_length: int,
        seed: int,
        random_offset: bool = True,
        share: Share = range,
    ) -> None:
        self._share = share
        self.ids = ids
        self.batch_size = batch_size
        self.sequence_length = sequence_length
        self.seed = seed
        self.random_offset = random_offset
        self._hapaxes, self._hiding = np.empty(0, np.int64), 0.0
        self.restore(Position(0, 0))

    def hide_hapaxes(self, hapaxes: Sequence[int], probability: float) -> None:
        """Read rare ids as the unknown symbol, id 0, each epoch others of them.

        So a network learns where characters come that it does not know, and how to go on after
        them (Dyer and others, "Transition-based dependency parsing with stack LSTMs", 2015).
        """
        self._hapaxes, self._hiding = np.array(hapaxes, np.int64), probability
        self._hide()

    def _hide(self) -> None:
        """Draw which are hidden in this epoch."""
        random = np.random.default_rng([self.seed, self._epoch, _HIDING])
        self._hidden = self._hapaxes[random.random(len(self._hapaxes)) < self._hiding]

    @property
    def position(self) -> Position:
        return Position(self._epoch, self._index)

    def restore(self, position: Position) -> None:
        """Go to a position, as if every batch before it had been taken."""
        self._epoch, self._index = position
        self._num_batches = self._lay_out(np.random.default_rng([self.seed, self._epoch]))
        self._hide()

    @property
    def epochs(self) -> float:
        """How many epochs have been taken, in fractions."""
        return self._epoch + self._index / self._num_batches

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        batch = self._batch(self._index)
        self._index += 1
        if self._index == self._num_batches:
            self.restore(Position(self._epoch + 1, 0))
        return batch

    def _lay_out(self, random: np.random.Generator) -> int:
        """Choose the epoch's offset and order; return its number of batches."""
        raise NotImplementedError

    def _batch(self, index: int) -> Batch:
        raise NotImplementedError

    def _random_offset(self, random: np.random.Generator, below: int, needed: int) -> int:
        """Draw where the epoch begins, `below` a bound, leaving at least `needed` ids."""
        if not self.random_offset:
            return 0
        return int(random.integers(min(below, len(self.ids) - needed + 1)))

    def _examples(
        self, starts: Int64[np.ndarray, " columns"], length: int, continues: bool
    ) -> Batch:
        """Make a batch of the stretches of ids that begin at `starts`: of those in our share."""
        mine = self._share(len(starts))
        stretches = np.empty((length + 1, len(mine)), np.int64)
        for place, column in enumerate(mine):
            stretches[:, place] = self.ids[starts[column] : starts[column] + length + 1]
        if len(self._hidden):
            stretches[np.isin(stretches, self._hidden)] = 0
        ids, others = torch.from_numpy(stretches), len(starts) - len(mine)
        return Batch(ids[:-1], ids[1:], continues, mine.start, others)


class RandomBatches(_Batches):
    """Non-overlapping windows from a random offset, shuffled; each once an epoch, state zero."""

    def __init__(
        self,
        ids: Ids,
        batch_size: int,
        sequence_length: int,
        seed: int,
        random_offset: bool = True,
        share: Share = range,
    ) -> None:
        if len(ids) < sequence_length + 1:
            raise CorpusError(
                f"the training part has {len(ids)} characters and one window needs "
                f"{sequence_length + 1}; lower batches.sequence_length or give more text"
            )
        super().__init__(ids, batch_size, sequence_length, seed, random_offset, share)

    def _lay_out(self, random: np.random.Generator) -> int:
        length = self.sequence_length
        self._offset = self._random_offset(random, below=length, needed=length + 1)
        self._num_windows = (len(self.ids) - 1 - self._offset) // self.sequence_length
        self._shuffle = Shuffle(self._num_windows, random)
        return -(-self._num_windows // self.batch_size)

    def _batch(self, index: int) -> Batch:
        first = index * self.batch_size
        places = np.arange(first, min(first + self.batch_size, self._num_windows))
        starts = self._offset + self._shuffle(places) * self.sequence_length
        return self._examples(starts, self.sequence_length, continues=False)


class SequentialBatches(_Batches):
    """Long columns from a random offset; successive batches are adjacent pieces of them.

    With `reset_probability`, a batch may say that it does not continue the one before, although it
    does: the state then begins at zero within an epoch, too.
    """

    def __init__(
        self,
        ids: Ids,
        batch_size: int,
        sequence_length: int,
        seed: int,
        random_offset: bool = True,
        reset_probability: float = 0.0,
        share: Share = range,
    ) -> None:
        self._reset_probability = reset_probability
        if len(ids) < batch_size + 1:
            raise CorpusError(
                f"the training part has {len(ids)} characters and {batch_size} columns need "
                f"{batch_size + 1}; lower batches.batch_size or give more text"
            )
        super().__init__(ids, batch_size, sequence_length, seed, random_offset, share)

    def _lay_out(self, random: np.random.Generator) -> int:
        # Below `batch_size` at least: the columns leave out fewer characters than that at the end.
        below = max(self.sequence_length, self.batch_size)
        self._offset = self._random_offset(random, below, needed=self.batch_size + 1)
        self._column_length = (len(self.ids) - 1 - self._offset) // self.batch_size
        return -(-self._column_length // self.sequence_length)

    def _batch(self, index: int) -> Batch:
        first = index * self.sequence_length
        length = min(self.sequence_length, self._column_length - first)
        starts = self._offset + first + self._column_length * np.arange(self.batch_size)
        return self._examples(starts, length, continues=index > 0 and not self._is_reset(index))

    def _is_reset(self, index: int) -> bool:
        """Draw whether the state is reset: seed, epoch and index decide, whatever came before."""
        draw = np.random.default_rng([self.seed, self._epoch, index]).random()
        return bool(draw < self._reset_probability)


Batches = RandomBatches | SequentialBatches


def make_batches(
    ids: Ids,
    config: BatchesConfig,
    seed: int,
    share: Share = range,
    hapaxes: Sequence[int] = (),
) -> Batches:
    """Return the iterator that the config names; raises `CorpusError` if the text is too short.

    `share` says which of so many columns to read; it reads them all if nothing is said.
    `hapaxes` are the ids that `hapax_dropout` hides.
    """
    first = (ids, config.batch_size, config.sequence_length, seed, config.random_offset)
    batches: Batches
    if config.sampling == "random":
        batches = RandomBatches(*first, share)
    else:
        batches = SequentialBatches(*first, config.reset_probability, share)
    batches.hide_hapaxes(hapaxes, config.hapax_dropout)
    return batches


class Shuffle:
    """A random permutation of `range(size)`, computed place by place and held in no memory.

    A Feistel network over the power of four that holds `size`, applied again to whatever falls
    outside (cycle walking: Black and Rogaway, "Ciphers with arbitrary finite domains", 2002).
    """

    _ROUNDS = 6

    def __init__(self, size: int, random: np.random.Generator) -> None:
        self._size = size
        self._half = np.uint64(max(1, (max(1, size - 1).bit_length() + 1) // 2))
        self._mask = np.uint64((1 << int(self._half)) - 1)
        self._keys = random.integers(0, 2**64, self._ROUNDS, np.uint64)

    def __call__(self, places: Integer[np.ndarray, "places"]) -> Int64[np.ndarray, "places"]:
        values = self._permute(places.astype(np.uint64))
        while (outside := values >= self._size).any():
            values[outside] = self._permute(values[outside])
        permuted: Int64[np.ndarray, places] = values.astype(np.int64)
        return permuted

    def _permute(self, values: Integer[np.ndarray, "places"]) -> Integer[np.ndarray, "places"]:
        left, right = values >> self._half, values & self._mask
        for key in self._keys:
            left, right = right, left ^ (_mix(right ^ key) & self._mask)
        return (left << self._half) | right


def _mix(values: Integer[np.ndarray, "places"]) -> Integer[np.ndarray, "places"]:
    """Scatter 64 bits (the finaliser of SplitMix64: Steele, Lea and Flood, 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Integer[np.ndarray, places] = values ^ (values >> np.uint64(31))
    return mixed
