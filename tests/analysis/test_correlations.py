"""Correlations from running sums: those of the definition, also of units that hardly vary."""

import numpy as np
import pytest

from charlm.analysis.correlations import HalfSums


@pytest.mark.parametrize("deviation", [1.0, 1e-2, 1e-4])
@pytest.mark.parametrize("mean", [0.0, 0.999, 30.0])
def test_saturated_units_are_told_exactly(mean: float, deviation: float) -> None:
    """A unit that stays near one value follows a feature as well as any other."""
    random, size = np.random.default_rng(0), 6000
    feature = (random.random(size) < 0.3).astype(np.float32)
    noise = random.standard_normal((size, 2))
    states = (mean + deviation * (feature[:, None] + [0.2, 2] * noise)).astype(np.float32)
    sums = HalfSums(size // 2, (feature,))
    for start in range(0, size, 1000):
        part = slice(start, start + 1000)
        sums.add(np.arange(size)[part], states[part])
    found = sums.correlations("text")[:, :, 0]
    for half, rows in zip(found, (slice(0, size // 2), slice(size // 2, None)), strict=True):
        expected = np.corrcoef(states[rows].T.astype(np.float64), feature[rows])[-1, :-1]
        assert half == pytest.approx(expected, abs=1e-3)
