"""Sort the suffixes of a text, and find where it agrees with another one.

The symbols of a text become codes without gaps, as few bytes wide as they fit. Wider codes are
big-endian, so that their bytes sort like the codes; of the sorted bytes, those that begin a code
remain. A suffix array takes 4 bytes a symbol, and 8 while codes of two bytes are sorted.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Integer
from pydivsufsort import divsufsort

from charlm.corpus.vocabulary import Ids

SEPARATOR = 0
"""Code between two texts, and of unknown characters of the first one."""
_PIECE = 1 << 16
"""Number of symbols to convert at a time; it bounds the memory for temporary arrays."""

Codes = Integer[np.ndarray, "text"]
Positions = Integer[np.ndarray, "positions"]


@dataclass(frozen=True)
class Alphabet:
    """The symbols of a text, as codes from 1 on; any other symbol has the code `foreign`."""

    table: Codes
    """The code of each symbol up to the highest one of the text."""
    foreign: int

    @classmethod
    def of(cls, text: Ids, unknown: int | None = None) -> "Alphabet":
        """Return the alphabet of a text; `unknown` stands for characters that are not the same."""
        counts = np.zeros(0, np.int64)
        for piece in pieces(text):
            found = np.bincount(piece)
            size = max(len(counts), len(found))
            counts = np.pad(counts, (0, size - len(counts))) + np.pad(found, (0, size - len(found)))
        if unknown is not None and unknown < len(counts):
            counts[unknown] = 0
        symbols = np.flatnonzero(counts)
        foreign = len(symbols) + 1
        table = np.full(len(counts), foreign, _code_type(foreign))
        table[symbols] = np.arange(1, foreign)
        return cls(table, foreign)

    def encode(self, text: Ids, codes: Codes) -> None:
        """Write the codes of a text to an array of the same length."""
        for start in range(0, len(text), _PIECE):
            piece = np.asarray(text[start : start + _PIECE])
            is_within = piece < len(self.table)
            if is_within.all():
                codes[start : start + len(piece)] = np.take(self.table, piece)
            else:
                codes[start : start + len(piece)] = self.foreign
                known = np.flatnonzero(is_within)
                codes[start + known] = np.take(self.table, piece[known])


def _code_type(largest: int) -> np.dtype[np.unsignedinteger]:
    """Return the narrowest type for codes; its bytes sort like the codes."""
    return np.dtype(next(name for name in (">u1", ">u2", ">u4") if largest <= np.iinfo(name).max))


def pieces(text: Integer[np.ndarray, "text"]) -> Iterator[Integer[np.ndarray, "piece"]]:
    """Yield a long array in pieces."""
    for start in range(0, len(text), _PIECE):
        yield np.asarray(text[start : start + _PIECE])


def sorted_suffixes(codes: Codes) -> Positions:
    """Return the positions of all suffixes, in the order of the suffixes."""
    width = codes.itemsize
    array: Positions = divsufsort(codes.view(np.uint8))
    if width == 1:
        return array
    end = 0
    for piece in pieces(array):  # in place: another array would be as large again
        kept = piece[piece & (width - 1) == 0] // width
        array[end : end + len(kept)] = kept
        end += len(kept)
    return array[:end]


def common_lengths(codes: Codes, ones: Positions, others: Positions, most: int) -> Positions:
    """Return how many codes the suffixes at pairs of positions have in common, up to `most`.

    A code that occurs nowhere else must end `codes`, which ends every comparison.
    """
    last = len(codes) - 1
    lengths = np.zeros(len(ones), np.int64)
    active, width = np.arange(len(ones)), 8
    while len(active):
        offsets = np.arange(width)
        firsts, seconds = ones[active] + lengths[active], others[active] + lengths[active]
        differs: Bool[np.ndarray, "active width"] = (
            codes[np.minimum(firsts[:, None] + offsets, last)]
            != codes[np.minimum(seconds[:, None] + offsets, last)]
        )
        is_ended = differs.any(axis=1)
        lengths[active] += np.where(is_ended, differs.argmax(axis=1), width)
        active = active[~is_ended & (lengths[active] < most)]
    return lengths


def common_length(codes: Codes, one: int, other: int) -> int:
    """Return how many codes two suffixes have in common, of which `other` begins later."""
    length, width = 0, 64
    while True:
        ends = one + length + width, other + length + width
        theirs = codes[other + length : ends[1]]
        differs = np.flatnonzero(codes[one + length : ends[0]][: len(theirs)] != theirs)
        if len(differs):
            return length + int(differs[0])
        length, width = length + len(theirs), min(2 * width, _PIECE)
