"""Turn integer logits into whole frequencies that sum to 2^24, with integers only."""

import numpy as np
from jaxtyping import Int64

from charlm.portable.tables import POWER_STEP_BITS, power_table

TOTAL_BITS = 24
TOTAL = 1 << TOTAL_BITS
_EXPONENT_BITS = 20
LOG2_E = 1_512_775
"""log2(e), with 20 bits."""
_MAX_SHIFT = 40
"""2^28 divided by 2^40 is 0."""

Frequencies = Int64[np.ndarray, " symbols"]


def frequencies_of(
    logits: Int64[np.ndarray, " symbols"], bits: int, sharpness: int = LOG2_E
) -> Frequencies:
    """Return each symbol's share of 2^24: proportional to e^logit, and at least 1.

    `sharpness` is log2(e) / temperature, with 20 bits. What rounding leaves goes to the first
    likeliest symbol.
    """
    below = logits.max() - logits
    exponents = below * sharpness >> bits
    fractions = (exponents & ((1 << _EXPONENT_BITS) - 1)) >> _EXPONENT_BITS - POWER_STEP_BITS
    whole = np.minimum(exponents >> _EXPONENT_BITS, _MAX_SHIFT)
    weights = power_table()[fractions] >> whole
    frequencies: Frequencies = 1 + weights * (TOTAL - len(weights)) // weights.sum()
    frequencies[below.argmin()] += TOTAL - frequencies.sum()
    return frequencies


def uniform_frequencies(size: int) -> Frequencies:
    """Return the frequencies before the first symbol, when nothing is known."""
    frequencies: Frequencies = np.diff(np.arange(size + 1, dtype=np.int64) * TOTAL // size)
    return frequencies
