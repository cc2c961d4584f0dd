"""Write a text's symbols as intervals of the range coder, and read them back.

A character outside the vocabulary is the unknown symbol, then its code point as three digits of
base 128. Bytes that are not UTF-8 are characters, too: those of PEP 383 (surrogateescape).
"""

from collections.abc import Iterator

import numpy as np

from charlm.corpus.vocabulary import NUM_CODE_POINTS, Ids, Symbols, Vocabulary
from charlm.files.untrusted import InvalidDataError
from charlm.portable.frequencies import TOTAL_BITS
from charlm.portable.range_coder import RangeDecoder, RangeEncoder
from charlm.portable.steps import Steps

_DIGIT_BITS, _NUM_DIGITS = 7, 3
_DIGIT_SIZE = 1 << TOTAL_BITS - _DIGIT_BITS
ESCAPE_BITS = _DIGIT_BITS * _NUM_DIGITS


def encode(steps: Steps, vocabulary: Vocabulary, symbols: Symbols, ids: Ids) -> bytes:
    """Return the symbols, whose ids are given, in bytes, as the network predicts them.

    The network reads them.
    """
    encoder = RangeEncoder()
    begins, sizes = steps.read(ids)
    for begin, size, code_point in zip(
        begins.tolist(), sizes.tolist(), _unknown(vocabulary, ids, symbols), strict=True
    ):
        encoder.encode(begin, size)
        if code_point is not None:
            for digit in range(_NUM_DIGITS - 1, -1, -1):
                value = code_point >> digit * _DIGIT_BITS & (1 << _DIGIT_BITS) - 1
                encoder.encode(value * _DIGIT_SIZE, _DIGIT_SIZE)
    return encoder.finish()


def decode(steps: Steps, vocabulary: Vocabulary, data: bytes, count: int) -> Symbols:
    """Return `count` symbols that `encode` wrote; raises `InvalidDataError` for other bytes."""
    decoder = RangeDecoder(data)
    symbols = np.empty(count, np.uint32)
    known = np.array([0, *vocabulary.symbols], np.uint32)[-len(vocabulary) :]
    one = np.empty(1, np.int64)
    for place in range(count):
        ends = np.cumsum(steps.frequencies)
        one[0] = ends.searchsorted(decoder.target(), "right")
        number = int(one[0])
        size = int(steps.frequencies[number])
        decoder.decode(int(ends[number]) - size, size)
        symbols[place] = known[number]
        if number == vocabulary.unknown_id:
            symbols[place] = _code_point(decoder)
        steps.read(one)
    return symbols


def _unknown(vocabulary: Vocabulary, ids: Ids, symbols: Symbols) -> Iterator[int | None]:
    """Yield the code point of each unknown character, and None for the others."""
    if vocabulary.unknown_id is None:
        return (None for _ in range(len(ids)))
    is_unknown = ids == vocabulary.unknown_id
    return (
        point if unknown else None
        for unknown, point in zip(is_unknown.tolist(), symbols.tolist(), strict=True)
    )


def _code_point(decoder: RangeDecoder) -> int:
    point = 0
    for _ in range(_NUM_DIGITS):
        digit = decoder.target() // _DIGIT_SIZE
        decoder.decode(digit * _DIGIT_SIZE, _DIGIT_SIZE)
        point = point << _DIGIT_BITS | digit
    if point >= NUM_CODE_POINTS:
        raise InvalidDataError("it contains no Unicode character")
    return point
