"""A range coder: write symbols in as many bits as their probabilities say.

G. N. N. Martin, "Range encoding: an algorithm for removing redundancy from a digitised message",
1979. The range has 48 bits, and all numbers stay below 2^53, so that doubles compute the same.
"""

from charlm.corpus.vocabulary import NUM_CODE_POINTS
from charlm.files.untrusted import InvalidDataError
from charlm.portable.frequencies import TOTAL_BITS

_RANGE_BITS = 48
_FULL = (1 << _RANGE_BITS) - 1
_SMALL = 1 << _RANGE_BITS - 8
NUM_END_BYTES = _RANGE_BITS // 8
_DIGIT_BITS, _NUM_DIGITS = 7, 3
_DIGIT_SIZE = 1 << TOTAL_BITS - _DIGIT_BITS


class NoCharacterError(InvalidDataError):
    """A decoded code point is above those of Unicode."""

    def __init__(self) -> None:
        super().__init__("it contains no Unicode character")


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

    def encode_code_point(self, point: int) -> None:
        """Write a code point as three digits of base 128, all equally frequent."""
        for digit in range(_NUM_DIGITS - 1, -1, -1):
            value = point >> digit * _DIGIT_BITS & (1 << _DIGIT_BITS) - 1
            self.encode(value * _DIGIT_SIZE, _DIGIT_SIZE)

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
    """Decode what a `RangeEncoder` wrote; bytes after the end count as zeros.

    `RangeDecoder` in range_decoder.hpp starts from these attributes and computes the same.
    """

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, NUM_END_BYTES
        self.code = int.from_bytes(data[:NUM_END_BYTES].ljust(NUM_END_BYTES, b"\0"))
        self.range = _FULL

    def target(self) -> int:
        """Return a number in the interval of the next symbol."""
        return min(self.code // (self.range >> TOTAL_BITS), (1 << TOTAL_BITS) - 1)

    def decode(self, begin: int, size: int) -> None:
        """Remove a decoded symbol, given its interval."""
        step = self.range >> TOTAL_BITS
        self.code -= step * begin
        self.range = step * size
        while self.range < _SMALL:
            byte = self.data[self.place] if self.place < len(self.data) else 0
            self.code = (self.code << 8 | byte) & _FULL
            self.place += 1
            self.range <<= 8

    def code_point(self) -> int:
        """Remove and return a code point; raises `NoCharacterError` if Unicode does not have it."""
        point = 0
        for _ in range(_NUM_DIGITS):
            digit = self.target() // _DIGIT_SIZE
            self.decode(digit * _DIGIT_SIZE, _DIGIT_SIZE)
            point = point << _DIGIT_BITS | digit
        if point >= NUM_CODE_POINTS:
            raise NoCharacterError
        return point
