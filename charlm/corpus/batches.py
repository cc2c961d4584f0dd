"""Iterate endlessly over the batches of a text, by random or sequential sampling.

`sampling` has the sampling methods, `batch_iterator` has what training adds to both.
"""

from collections.abc import Sequence

import numpy as np

from charlm.config.schema import BatchesConfig
from charlm.corpus.batch_iterator import Batch, BatchIterator, Share
from charlm.corpus.sampling import random_sampling, sequential_sampling
from charlm.corpus.shuffle import Shuffle
from charlm.corpus.vocabulary import Ids


class RandomBatches(BatchIterator):
    """Random sampling, with a new order in each epoch.

    The first window begins at a random offset, so the windows differ between epochs.
    """

    def _lay_out(self, random: np.random.Generator) -> int:
        length = self.sequence_length
        self._check_length(length + 1, "one window needs", "batches.sequence_length")
        self._cut = self._draw_cut(random, below=length, needed=length + 1)
        self._order = Shuffle(self._cut.num_windows, random)
        return -(-self._cut.num_windows // self.batch_size)

    def _batch(self, index: int) -> Batch:
        return self._examples(random_sampling(self._cut, self._order, index), continues=False)


class SequentialBatches(BatchIterator):
    """Sequential sampling; the columns begin at a random offset, so they differ between epochs.

    With probability `reset_probability`, a batch does not continue the previous one: the state
    starts at zero within an epoch, too.
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
        boundary: int | None = None,
    ) -> None:
        self._reset_probability = reset_probability
        super().__init__(ids, batch_size, sequence_length, seed, random_offset, share, boundary)

    def _lay_out(self, random: np.random.Generator) -> int:
        needed = self.batch_size + 1
        self._check_length(needed, f"{self.batch_size} columns need", "batches.batch_size")
        # The columns omit fewer than `batch_size` characters: the offset varies which ones.
        below = max(self.sequence_length, self.batch_size)
        self._cut = self._draw_cut(random, below, needed)
        return -(-self._cut.column_length // self.sequence_length)

    def _batch(self, index: int) -> Batch:
        continues = index > 0 and not self._is_reset(index)
        return self._examples(sequential_sampling(self._cut, index), continues)

    def _is_reset(self, index: int) -> bool:
        """Draw whether the state is reset, from seed, epoch and index alone."""
        draw = np.random.default_rng([self.seed, self._epoch, index]).random()
        return bool(draw < self._reset_probability)


Batches = RandomBatches | SequentialBatches


def make_batches(
    ids: Ids,
    config: BatchesConfig,
    seed: int,
    share: Share = range,
    hapaxes: Sequence[int] = (),
    boundary: int | None = None,
) -> Batches:
    """Return the iterator of the config's sampling; raises `CorpusError` if the text is too short.

    `share` returns the columns that this process reads, by default all columns. `hapaxes` are the
    rare ids that `hapax_dropout` hides. With the `boundary` between records, each epoch has its own
    order of the records; it takes the memory of another copy of the ids.
    """
    layout = (ids, config.batch_size, config.sequence_length, seed, config.random_offset)
    batches: Batches
    if config.sampling == "random":
        batches = RandomBatches(*layout, share, boundary)
    else:
        batches = SequentialBatches(*layout, config.reset_probability, share, boundary)
    batches.hide_hapaxes(hapaxes, config.hapax_dropout)
    return batches
