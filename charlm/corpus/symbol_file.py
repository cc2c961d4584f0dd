"""Store the symbols of a text on disk between decoding and encoding."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Int64

from charlm.corpus.vocabulary import NUM_CODE_POINTS, UNKNOWN_TYPE, Symbols, Vocabulary

Counts = Int64[np.ndarray, "code_points"]
"""Number of occurrences of each code point, or of each byte value with `unit: byte`."""


class SymbolFile:
    """Code points or bytes on disk, written and counted once, each piece in its narrowest type.

    Memory holds one piece at a time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counts: Counts = np.zeros(NUM_CODE_POINTS, np.int64)
        """Counts of all appended symbols."""
        self._pieces: list[tuple[int, np.dtype[Any]]] = []

    def append(self, pieces: Iterable[Symbols]) -> int:
        """Append pieces and count their symbols; return the number of new symbols."""
        total = 0
        with self.path.open("ab") as file:
            for piece in pieces:
                file.write(piece.data)
                _add(self.counts, piece)
                self._pieces.append((len(piece), piece.dtype))
                total += len(piece)
        return total

    def read(self, start: int, end: int) -> Iterator[Symbols]:
        """Yield the pieces of a range."""
        first_symbol = first_byte = 0  # bounds of the piece, in the text and in the file
        for length, dtype in self._pieces:
            begin, stop = max(start - first_symbol, 0), min(end - first_symbol, length)
            if begin < stop:
                offset = first_byte + begin * dtype.itemsize
                yield np.fromfile(self.path, dtype, stop - begin, offset=offset)
            first_symbol += length
            first_byte += length * dtype.itemsize

    def count(self, start: int, end: int) -> Counts:
        """Count the symbols of a range."""
        counts: Counts = np.zeros(NUM_CODE_POINTS, np.int64)
        for piece in self.read(start, end):
            _add(counts, piece)
        return counts

    def write_ids(self, start: int, end: int, vocabulary: Vocabulary, target: Path) -> None:
        """Write the ids of a range to a new file."""
        with target.open("wb") as file:
            self._write_ids(start, end, vocabulary, file)

    def write_unknown(self, start: int, end: int, vocabulary: Vocabulary, target: Path) -> None:
        """Write the symbols of a range that are outside a vocabulary to a new file."""
        first = 0
        with target.open("wb") as file:
            for piece in self.read(start, end):
                places = np.flatnonzero(vocabulary.encode(piece) == vocabulary.unknown_id)
                unknown = np.empty(len(places), UNKNOWN_TYPE)
                unknown["place"] = first + places
                unknown["code"] = piece[places]
                file.write(unknown.data)
                first += len(piece)

    def convert_to_ids(self, start: int, end: int, vocabulary: Vocabulary, target: Path) -> None:
        """Replace all symbols by the ids of a range.

        Ids that are no wider than the symbols are written over them: a second file of this size
        would take as much disk space again, and often more time than everything else.
        """
        id_size = np.dtype(vocabulary.id_type).itemsize
        if any(dtype.itemsize < id_size for _, dtype in self._pieces):
            self.write_ids(start, end, vocabulary, target)
            self.path.unlink()
            return
        with self.path.open("r+b") as file:
            self._write_ids(start, end, vocabulary, file)
            file.truncate()
        self.path.rename(target)

    def _write_ids(self, start: int, end: int, vocabulary: Vocabulary, file: BinaryIO) -> None:
        for piece in self.read(start, end):
            file.write(vocabulary.encode(piece).data)


def _add(counts: Counts, piece: Symbols) -> None:
    if piece.dtype == np.uint8:  # two symbols as one 16-bit number: twice as fast
        even = len(piece) & ~1
        pairs = np.bincount(piece[:even].view(np.uint16), minlength=1 << 16).reshape(256, 256)
        counts[:256] += pairs.sum(0) + pairs.sum(1)
        piece = piece[even:]
    seen = np.bincount(piece)
    counts[: len(seen)] += seen
