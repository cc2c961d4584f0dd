"""The block bootstrap: its intervals cover the mean of correlated series 19 times of 20."""

import re

import numpy as np
import pytest

from charlm.analysis.block_bootstrap import RESAMPLES, Resampling, interval_of_mean
from charlm.analysis.block_length import automatic_block_length, safe_block_length
from charlm.config.load import load_config


def correlated(size: int, correlation: float, number: int, seed: int = 0) -> np.ndarray:
    """Return skewed series of mean 0, x_t = φ x_{t−1} + noise, as nats are skewed."""
    series = np.random.default_rng(seed).exponential(size=(size + 100, number)) - 1
    for place in range(1, len(series)):
        series[place] += correlation * series[place - 1]
    return np.ascontiguousarray(series[100:].T, np.float32)


def drifting(size: int, lasting: int, strength: float, number: int, seed: int = 7) -> np.ndarray:
    """Return skewed series of mean 0 with a drift that lasts for so many numbers."""
    random = np.random.default_rng(seed)
    series = np.empty((size, number), np.float32)
    kept = 1 - 1 / lasting
    drift = random.standard_normal(number, np.float32)
    for row in series:
        steps = random.standard_normal(number, np.float32)
        drift = np.float32(kept) * drift + np.float32(np.sqrt(1 - kept**2)) * steps
        row[:] = random.standard_exponential(number, np.float32) - 1 + np.float32(strength) * drift
    return np.ascontiguousarray(series.T)


def share_outside(every: np.ndarray) -> float:
    """Return in which share of series of mean 0 the interval, where there is one, is not about 0.

    For `charlm compare` this is how often it shows a difference where there is none.
    """
    found = [interval for series in every if (interval := interval_of_mean(series)[0])]
    assert len(found) > 0.9 * len(every)
    return float(np.mean([0.0 not in interval for interval in found]))


@pytest.mark.parametrize(("size", "correlation"), [(150, 0.0), (1000, 0.5), (3000, 0.8)])
def test_intervals_cover_the_mean(size: int, correlation: float) -> None:
    """In 5 % of series the mean is outside; as if numbers were independent, in far more."""
    every = correlated(size, correlation, 250)
    assert 0.02 <= share_outside(every) <= 0.07
    if correlation:
        half_width = 1.96 * every.std(axis=1) / np.sqrt(size)
        assert np.mean(np.abs(every.mean(axis=1)) > half_width) > 0.15


def test_intervals_cover_drifts() -> None:
    """Drifts of 100 of 8,000 numbers: in 5 % of 1,000 series the mean is outside.

    With blocks of a 64th it is outside in more than twice as many.
    """
    every = drifting(8000, 100, 0.5, 1000)
    assert 0.03 <= share_outside(every) <= 0.06
    short = Resampling(8000, 8000 // 64)
    outside = [
        0.0 not in short.interval(float(series.mean()), short.means(series)[0])
        for series in every[:100]
    ]
    assert np.mean(outside) > 0.1


@pytest.mark.long
@pytest.mark.parametrize("strength", [0.2, 0.5, 1.0])
@pytest.mark.parametrize(("size", "lasting"), [(2000, 25), (10_000, 100), (50_000, 600)])
def test_drifts_of_any_strength(size: int, lasting: int, strength: float) -> None:
    """4,000 series each: weak drifts, and such that are as strong as all else."""
    pieces = [drifting(size, lasting, strength, 500, seed) for seed in range(8)]
    assert 0.04 <= np.mean([share_outside(piece) for piece in pieces]) <= 0.06


def test_a_seed_gives_one_interval() -> None:
    """Another seed gives nearly the same one."""
    (series,) = correlated(3000, 0.5, 1)
    first, blocks = interval_of_mean(series, seed=1)
    again, _ = interval_of_mean(series, seed=1)
    other, other_blocks = interval_of_mean(series, seed=2)
    assert first is not None and other is not None
    assert first == again != other
    assert blocks.block_length == other_blocks.block_length
    assert np.subtract(first, other) == pytest.approx(0, abs=0.1 * (first.high - first.low))


def test_correlation_lengthens_blocks() -> None:
    lengths = [automatic_block_length(correlated(20_000, phi, 1, 3)[0]) for phi in (0.0, 0.5, 0.9)]
    assert lengths[0] <= 3 < lengths[1] < lengths[2]


def test_a_block_length_is_that_of_its_formula() -> None:
    """For an AR(1) series G and g are known: b = (2 G² / (4/3 g²))^⅓ n^⅓."""
    phi, size = 0.6, 200_000
    expected = (1.5 * (2 * phi / (1 - phi**2)) ** 2 * size) ** (1 / 3)
    lengths = [automatic_block_length(series) for series in correlated(size, phi, 3)]
    assert np.mean(lengths) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("size", [100, 777])
def test_a_constant_series_has_no_width(size: int) -> None:
    interval, blocks = interval_of_mean(np.full(size, 1.7, np.float32))
    assert interval == pytest.approx((1.7, 1.7), rel=1e-6)
    assert blocks.block_length == size // 8


@pytest.mark.parametrize("size", [1000, 300_001])
def test_blocks_are_an_eighth_or_longer(size: int) -> None:
    """A text that changes from one half to the other, or steadily, has no interval."""
    noise = np.random.default_rng(size).standard_normal(size)
    assert safe_block_length(noise) == size // 8
    number = np.arange(size)
    for change in (2 * (number > size / 2), 10 * number / size):
        interval, blocks = interval_of_mean(noise + change)
        assert interval is None
        assert "longer than a sixth" in blocks.lack
        assert all(f" {option}" in blocks.lack for option in ("--text", "--split"))
        (setting,) = re.findall(r"--set (\S+)", blocks.lack)
        assert min(load_config("quickstart", [setting]).corpus.split[1:]) > 0.05  # the default


@pytest.mark.parametrize("size", [1, 2, 7, 99])
def test_few_numbers_have_no_interval(size: int) -> None:
    interval, blocks = interval_of_mean(np.arange(size, dtype=np.float32))
    assert interval is None
    assert "too short for an interval, which needs 100" in blocks.lack


def test_resamples_hold_whole_blocks_of_a_circle() -> None:
    """A figure of two series uses the same blocks; all blocks are equally long and likely."""
    places = np.arange(30)
    resampling = Resampling(30, 10)
    mean, same = resampling.means(places, 2.0 * places)
    assert same == pytest.approx(2 * mean)
    assert len(mean) == RESAMPLES
    assert mean.mean() == pytest.approx(places.mean(), abs=0.3)
    block_means = [np.take(places, range(s, s + 10), mode="wrap").mean() for s in range(30)]
    possible = np.add.outer(np.add.outer(block_means, block_means), block_means) / 3
    assert np.isin(np.round(mean * 30), np.round(possible * 30)).all()
