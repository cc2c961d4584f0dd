"""The range coder: decoding inverts encoding, and costs hardly more than the ideal."""

import math
import random

from hypothesis import given
from hypothesis import strategies as st

from charlm.portable.frequencies import TOTAL, TOTAL_BITS
from charlm.portable.range_coder import RangeDecoder, RangeEncoder

SIZES = st.one_of(st.integers(1, 3), st.integers(1, TOTAL), st.just(TOTAL))


@st.composite
def intervals(draw: st.DrawFn) -> tuple[int, int]:
    size = draw(SIZES)
    return draw(st.integers(0, TOTAL - size)), size


@given(st.lists(intervals(), max_size=200))
def test_decoding_inverts_encoding(symbols: list[tuple[int, int]]) -> None:
    """The target of each symbol lies in its interval, and the length is that of the bits."""
    encoder = RangeEncoder()
    for begin, size in symbols:
        encoder.encode(begin, size)
    data = encoder.finish()
    decoder = RangeDecoder(data)
    for begin, size in symbols:
        assert begin <= decoder.target() < begin + size
        decoder.decode(begin, size)
    ideal = sum(TOTAL_BITS - math.log2(size) for _, size in symbols) / 8
    assert ideal <= len(data) <= ideal * 1.0001 + 7


def test_carries_pass_through_many_bytes() -> None:
    """Intervals at the upper end make runs of 255, into which a carry goes."""
    source = random.Random(0)
    symbols = [(TOTAL - 1, 1) if source.random() < 0.9 else (TOTAL // 2, 3) for _ in range(5000)]
    encoder = RangeEncoder()
    for begin, size in symbols:
        encoder.encode(begin, size)
    decoder = RangeDecoder(encoder.finish())
    for begin, size in symbols:
        assert begin <= decoder.target() < begin + size
        decoder.decode(begin, size)
