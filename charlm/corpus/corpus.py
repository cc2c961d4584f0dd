"""A text as ids, in training, validation and test splits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from charlm.corpus.vocabulary import Ids, Sizes, Vocabulary

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
    """Number of bytes of the symbol of each id; 0 for the unknown symbol."""
    unknown: np.ndarray
    """Characters outside the vocabulary, in order, as `UNKNOWN_TYPE`."""
    origin: Origin = Origin("", 0)
    """Text that it is a split of, and its position there."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def num_unknown(self) -> int:
        return len(self.unknown)

    def measure(self, start: int, end: int) -> tuple[int, int]:
        """Return the number of bytes, and of unknown characters, from `start` to `end`."""
        first, last = np.searchsorted(self.unknown["place"], (start, end))
        size = int(self.unknown["bytes"][first:last].sum(dtype=np.int64))
        for begin in range(start, end, _PIECE_LENGTH):
            ids = self.ids[begin : min(begin + _PIECE_LENGTH, end)]
            size += int(np.bincount(ids, minlength=len(self.sizes)) @ self.sizes.astype(np.int64))
        return size, int(last - first)


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
    encodings: Mapping[str, str] = field(default_factory=dict)
    """Recognised encodings of files that are not UTF-8, to record in the config of a run."""
