"""A text as ids, in training, validation and test splits."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from charlm.corpus.vocabulary import Ids, Sizes, Vocabulary, sizes_of

_PIECE_LENGTH = 1 << 20
"""Number of characters to count at a time."""

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Origin:
    """Identify a text by its content, and the position of a split in it."""

    digest: str
    """Digest of the files' content and of the settings that decode them, but not of paths."""
    start: int


@dataclass(frozen=True)
class Split:
    """A split of a text as ids, with sizes and unknown characters, which ids do not contain."""

    ids: Ids
    sizes: Sizes
    """Number of bytes of the symbol of each id; 0 for the unknown symbol. A boundary has those of
    what stands between two records where they are written out."""
    unknown: np.ndarray
    """Characters outside the vocabulary, in order, as `UNKNOWN_TYPE`."""
    origin: Origin = Origin("", 0)
    """Text that it is a split of, and its position there."""
    boundary: int | None = None
    """Id of the boundary between records; None for running text."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def num_unknown(self) -> int:
        return len(self.unknown)

    def part(self, start: int, end: int) -> "Split":
        """Return the characters from `start` to `end` as a split of their own."""
        first, last = np.searchsorted(self.unknown["place"], (start, end))
        unknown = self.unknown[first:last].copy()
        unknown["place"] -= start
        origin = replace(self.origin, start=self.origin.start + start)
        return Split(self.ids[start:end], self.sizes, unknown, origin, self.boundary)

    def measure(self, start: int, end: int) -> tuple[int, int]:
        """Return the number of bytes, and of unknown characters, from `start` to `end`."""
        first, last = np.searchsorted(self.unknown["place"], (start, end))
        unknown = sizes_of(self.unknown["code"][first:last], "character")
        size = int(unknown.sum(dtype=np.int64))
        for begin in range(start, end, _PIECE_LENGTH):
            ids = self.ids[begin : min(begin + _PIECE_LENGTH, end)]
            size += int(np.bincount(ids, minlength=len(self.sizes)) @ self.sizes.astype(np.int64))
        return size, int(last - first)


@dataclass(frozen=True)
class RecordCounts:
    """Numbers of records of a text."""

    train: int
    validation: int
    test: int
    different: int
    """Number of different records."""
    empty: int
    """Number of records without a visible character, which are dropped."""
    shared: int
    """Number of held-out records that are equal to one of the training split."""
    nearly_shared: int
    """The same in the normal form NFKC, without case and with single spaces; with `shared`."""


@dataclass(frozen=True)
class Corpus:
    """A vocabulary and the three splits of a text, memory-mapped."""

    vocabulary: Vocabulary
    fingerprint: str
    """Digest of the text and of every setting that changes the ids."""
    splits: dict[SplitName, Split]
    hapaxes: tuple[int, ...]
    """Ids of the rare characters that `batches.hapax_dropout` hides: they occur fewer than twice
    `minimum_count` times in the training split (once, by default). Empty with `unit: byte`."""
    line_ends: tuple[tuple[int, int, int], ...] = ()
    """Line ends of files that were converted, as `newlines.counted_by_place` returns them."""
    encodings: Mapping[str, str] = field(default_factory=dict)
    """Recognised encodings of files that are not UTF-8, to record in the config of a run."""
    records: RecordCounts | None = None
    """Numbers of the records of the text; None for running text."""

    @property
    def boundary(self) -> int | None:
        """Id of the boundary between records; None for running text."""
        return self.splits["train"].boundary
