"""Tables of σ, tanh and 2^−x, computed with integers only; part of the format of charlm files.

No floating-point number takes part, so every machine computes the same tables. `DIGEST` pins them.
"""

import hashlib
from functools import cache
from math import isqrt

import numpy as np
from jaxtyping import Int64

STEP_BITS = 9
"""The tables of σ and tanh have a row every 2^−9."""
HALF = 16 << STEP_BITS
"""Row of 0; the tables reach from −16 to just below 16, where both functions are constant."""
VALUE_BITS = 15
"""Values of σ and tanh are multiples of 2^−15."""
POWER_STEP_BITS = 12
"""The table of 2^−x has a row every 2^−12, for x from 0 to just below 1."""
POWER_BITS = 28
"""Values of 2^−x are multiples of 2^−28."""
DIGEST = "bd28f406"
"""First bytes of the SHA-256 of the three tables as little-endian 64-bit integers."""

_PRECISION_BITS = 128
_ONE = 1 << _PRECISION_BITS

Table = Int64[np.ndarray, " rows"]


@cache
def sigmoid_table() -> Table:
    """Return σ(x) at x = (row − HALF) · 2^−STEP_BITS."""
    powers = _powers(_exp_of_minus_one_over(1 << STEP_BITS), HALF + 1)
    right = [_rounded(_ONE, _ONE + power) for power in powers[:HALF]]
    left = [_rounded(power, _ONE + power) for power in reversed(powers[1:])]
    return _frozen(left + right)


@cache
def tanh_table() -> Table:
    """Return tanh(x) at x = (row − HALF) · 2^−STEP_BITS."""
    powers = _powers(_exp_of_minus_one_over(1 << STEP_BITS - 1), HALF + 1)
    values = [_rounded(_ONE - power, _ONE + power) for power in powers]
    return _frozen([-value for value in reversed(values[1:])] + values[:HALF])


@cache
def power_table() -> Table:
    """Return 2^−x at x = row · 2^−POWER_STEP_BITS."""
    root = _ONE >> 1
    for _ in range(POWER_STEP_BITS):
        root = isqrt(root << _PRECISION_BITS)
    powers = _powers(root, 1 << POWER_STEP_BITS)
    return _frozen([_rounded(power, _ONE, POWER_BITS) for power in powers])


def digest() -> str:
    """Return the first bytes of the SHA-256 of the tables; they equal `DIGEST`."""
    tables = (sigmoid_table(), tanh_table(), power_table())
    return hashlib.sha256(b"".join(t.astype("<i8").tobytes() for t in tables)).hexdigest()[:8]


def _exp_of_minus_one_over(divisor: int) -> int:
    """Return e^(−1/divisor) by its power series."""
    total, term, number = 0, _ONE, 0
    while term:
        total += -term if number % 2 else term
        number += 1
        term //= divisor * number
    return total


def _powers(base: int, count: int) -> list[int]:
    """Return base⁰, base¹, …; `base` and the powers are multiples of 1 / _ONE."""
    powers = [_ONE]
    while len(powers) < count:
        powers.append(powers[-1] * base >> _PRECISION_BITS)
    return powers


def _rounded(numerator: int, denominator: int, bits: int = VALUE_BITS) -> int:
    """Return the multiple of 2^−bits that is nearest to a quotient."""
    return ((numerator << bits + 1) // denominator + 1) >> 1


def _frozen(values: list[int]) -> Table:
    table = np.array(values, np.int64)
    table.setflags(write=False)
    return table
