"""Find where a short text copies a training text whose suffixes are sorted already."""

from collections.abc import Iterator

from charlm.analysis.copy_marker import TextIndex
from charlm.corpus.vocabulary import Ids

_PROBES = 64
"""Number of passages to look up before other work may have its turn."""


class CopiedSpans:
    """Finds the spans of at least `least` symbols of a query that stand in the training text."""

    def __init__(self, index: TextIndex, query: Ids, least: int) -> None:
        self.found: list[tuple[int, int]] = []
        """Start and end of each span; spans that touch or overlap are one."""
        self._index, self._least = index, least
        codes = [index.code(int(symbol)) for symbol in query]
        self._width = len(codes[0]) if codes else 1
        self._codes, self._size = b"".join(codes), len(codes)

    def steps(self) -> Iterator[None]:
        """Search, and yield after some passages.

        A window whose end from the symbol k on does not stand in the training text excludes all
        windows that contain that end. So most of a text that is not copied is never looked up.
        """
        start, probes = 0, 0
        while start + self._least <= self._size:
            missing = self._first_missing(start)
            if missing == 0:
                self._add(start, start + self._least)
            start += max(1, missing)
            probes += 1
            if probes % _PROBES == 0:
                yield

    def _first_missing(self, start: int) -> int:
        """Return the smallest k for which the window's end from k on stands in the text."""
        if self._stands(start, 0):
            return 0
        low, high = 0, self._least  # the empty end stands in every text
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._stands(start, middle) else (middle, high)
        return high

    def _stands(self, start: int, skipped: int) -> bool:
        first, last = (start + skipped) * self._width, (start + self._least) * self._width
        return self._index.contains(self._codes[first:last])

    def _add(self, start: int, end: int) -> None:
        if self.found and start <= self.found[-1][1]:
            start = self.found.pop()[0]
        self.found.append((start, end))
