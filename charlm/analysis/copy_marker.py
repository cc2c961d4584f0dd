"""Find the spans of a text that stand in a training text while the text is being written."""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from typing import Generic, SupportsInt, TypeVar

import numpy as np

from charlm.analysis.suffix_array import SEPARATOR, Alphabet, sorted_suffixes
from charlm.corpus.vocabulary import Ids

Piece = TypeVar("Piece")


class TextIndex:
    """The sorted suffixes of a text, in which passages are looked up."""

    def __init__(self, text: Ids, unknown: int | None = None) -> None:
        """Sort the suffixes; the id `unknown` stands for different characters."""
        self._alphabet = Alphabet.of(text, unknown)
        codes = np.empty(len(text), self._alphabet.table.dtype)
        self._alphabet.encode(text, codes)
        codes[codes == self._alphabet.foreign] = SEPARATOR
        self._array = sorted_suffixes(codes) if len(codes) else np.zeros(0, np.int32)
        self._bytes = codes.tobytes()
        self._width = codes.itemsize

    def code(self, symbol: int) -> bytes:
        """Return the bytes of an id, which stand for it in a passage."""
        code = np.empty(1, self._alphabet.table.dtype)
        self._alphabet.encode(np.array([symbol]), code)
        return code.tobytes()

    def contains(self, passage: bytes) -> bool:
        """Return whether the text contains a passage."""

        def beginning(place: SupportsInt) -> bytes:
            start = int(place) * self._width
            return self._bytes[start : start + len(passage)]

        place = bisect_left(self._array, passage, key=beginning)
        return place < len(self._array) and beginning(self._array[place]) == passage


class CopyMarker(Generic[Piece]):
    """Tells, for each character of a text, whether it is in a long span of the training text.

    A character waits only as long as it may still be in such a span: from the beginning of the
    longest passage that ends here and occurs in the training text.
    """

    def __init__(self, index: TextIndex, least: int) -> None:
        """Mark spans of at least `least` characters."""
        self._index, self._least = index, least
        self._last: deque[bytes] = deque(maxlen=least)
        self._num_matched = 0
        self._pending: list[Piece] = []

    def add(self, symbol: int, piece: Piece) -> Iterator[tuple[Piece, bool]]:
        """Read an id; yield the pieces that are decided, and whether they are copied."""
        self._last.append(self._index.code(symbol))
        self._pending.append(piece)
        self._num_matched = self._matched()
        is_copied = self._num_matched == self._least
        end = len(self._pending) - (0 if is_copied else self._num_matched)
        decided, self._pending = self._pending[:end], self._pending[end:]
        yield from ((one, is_copied) for one in decided)

    def finish(self) -> Iterator[tuple[Piece, bool]]:
        """Yield the pieces that are left at the end of the text, and reset the marker."""
        decided, self._pending, self._num_matched = self._pending, [], 0
        self._last.clear()
        yield from ((one, False) for one in decided)

    def _matched(self) -> int:
        """Return the length of the longest passage that ends here, at most `least`."""
        last = [*self._last]
        most = min(self._num_matched + 1, len(last))
        if self._index.contains(b"".join(last[-most:])):
            return most
        low, high = 0, most
        while high - low > 1:  # each end of a passage of the text is a passage of it, too
            middle = (low + high) // 2
            if self._index.contains(b"".join(last[-middle:])):
                low = middle
            else:
                high = middle
        return low
