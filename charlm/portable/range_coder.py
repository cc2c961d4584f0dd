"""A range coder: write symbols in as many bits as their probabilities say.

G. N. N. Martin, "Range encoding: an algorithm for removing redundancy from a digitised message",
1979. The range has 48 bits, and all numbers stay below 2^53, so that doubles compute the same.
"""

from charlm.portable.frequencies import TOTAL_BITS

_RANGE_BITS = 48
_FULL = (1 << _RANGE_BITS) - 1
_SMALL = 1 << _RANGE_BITS - 8
NUM_END_BYTES = _RANGE_BITS // 8


class RangeEncoder:
    """Encode intervals of [0, 2^24) into bytes."""

    def __init__(self) -> None:
        self._low, self._range = 0, _FULL
        self._bytes = bytearray()

    def encode(self, begin: int, size: int) -> None:
        """Write a symbol by its interval."""
        step = self._range >> TOTAL_BITS
        self._low += step * begin
        self._range = step * size
        while self._range < _SMALL:
            self._shift()
            self._range <<= 8

    def finish(self) -> bytes:
        """Return all bytes; the encoder cannot be used any more."""
        for _ in range(NUM_END_BYTES):
            self._shift()
        return bytes(self._bytes)

    def _shift(self) -> None:
        """Move the highest byte of the low end to the output, and a carry into what is there."""
        if self._low > _FULL:
            self._low &= _FULL
            place = len(self._bytes) - 1
            while self._bytes[place] == 0xFF:
                self._bytes[place] = 0
                place -= 1
            self._bytes[place] += 1
        self._bytes.append(self._low >> _RANGE_BITS - 8)
        self._low = (self._low << 8) & _FULL


class RangeDecoder:
    """Decode what a `RangeEncoder` wrote; bytes after the end count as zeros."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, NUM_END_BYTES
        self._code = int.from_bytes(data[:NUM_END_BYTES].ljust(NUM_END_BYTES, b"\0"))
        self._range = _FULL

    def target(self) -> int:
        """Return a number in the interval of the next symbol."""
        return min(self._code // (self._range >> TOTAL_BITS), (1 << TOTAL_BITS) - 1)

    def decode(self, begin: int, size: int) -> None:
        """Remove a decoded symbol, given its interval."""
        step = self._range >> TOTAL_BITS
        self._code -= step * begin
        self._range = step * size
        while self._range < _SMALL:
            byte = self._data[self._place] if self._place < len(self._data) else 0
            self._code = (self._code << 8 | byte) & _FULL
            self._place += 1
            self._range <<= 8
