"""Give a mean over a text a 95 % interval, by a circular block bootstrap.

Characters that follow one another are not independent: a hard word is hard for several characters,
a hard passage for thousands. So whole blocks of characters are drawn with replacement (Politis and
Romano, "A circular block-resampling procedure for stationary data", 1992).

The length of the blocks follows from the autocorrelation of the series (Politis and White,
"Automatic block-length selection for the dependent bootstrap", 2004, as corrected by Patton,
Politis and White, 2009), but is at least an eighth of it. The automatic length gives the variance
with the least error. An interval needs longer blocks, because a short one loses correlation, and
the loss makes the interval too narrow (Sun, Phillips and Jin, "Optimal bandwidth selection in
heteroskedasticity-autocorrelation robust testing", 2008). So few blocks vary too little, which
critical values for a fixed share of the series correct (Kiefer and Vogelsang, 2005; for the block
bootstrap Shao and Politis, "Fixed b subsampling and the block bootstrap", 2013). A drift that lasts
for a hundredth of the series still loses a tenth of its variance, so all intervals are widened.

The automatic length is that of the means of cells, of several sizes: a correlation that is weak
from character to character, but lasts for long, shows only in means of many characters.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Shaped

LEVEL = 0.95
RESAMPLES = 2000
FEWEST_NUMBERS = 100
"""Length of a series below which its mean has no interval."""
FEWEST_RECORDS = 20
"""Number of independent records below which their mean has none: it would be too narrow."""
_MOST_BLOCKS, _FEWEST_BLOCKS = 8, 6
"""Numbers of blocks of a series; if a sixth of it is too short a block, there is no interval."""
_FEWEST_CELLS, _MOST_CELLS = 64, 1024
"""Numbers of cells of a series from the means of which a block length is chosen."""
_LOST_VARIANCE = 1 / 8
"""Fraction of the variance of a mean that blocks miss, if a drift lasts for a tenth of a block."""
_CELLS_IN_A_BLOCK = 100
"""Number of places in a long block at which a block may begin."""
_DRAWS_AT_ONCE = 1 << 21
NORMAL_QUANTILE = 1.959964
"""Quantile of the standard normal distribution at (1 + `LEVEL`) / 2."""

Series = Shaped[np.ndarray, " characters"]


class Interval(NamedTuple):
    """Both ends of an interval."""

    low: float
    high: float

    def map(self, function: Callable[[float], float]) -> "Interval":
        """Return the interval of an increasing function of the figure."""
        return Interval(function(self.low), function(self.high))

    def __contains__(self, figure: object) -> bool:
        return isinstance(figure, int | float) and self.low <= figure <= self.high


def automatic_block_length(series: Series) -> int:
    """Return the block length for the mean of a series, from its autocorrelation.

    m is the smallest lag that `_fewest_lags(n)` insignificant autocorrelations follow. With the
    flat-top window λ over 2 m lags, G = Σ λ(k / 2m) |k| R(k) and g = Σ λ(k / 2m) R(k), the length
    is (2 G² / D)^⅓ n^⅓ with D = 4/3 g², at most 3 √n and a third of the series.
    """
    size = len(series)
    limit = max(1, math.floor(min(3 * math.sqrt(size), size / 3)))
    if limit == 1:
        return 1
    variances = _autocovariances(series)
    if variances[0] <= 0:
        return 1
    num_lags = len(variances) - 1
    lags = np.arange(1, num_lags + 1)
    window = np.clip(2 * (1 - lags / max(1, num_lags)), 0, 1)
    g = variances[0] + 2 * float((window * variances[1:]).sum())
    slope = 2 * float((window * lags * variances[1:]).sum())
    if g <= 0:
        return 1
    length = math.cbrt(2 * slope**2 / (4 / 3 * g**2) * size)
    return min(limit, max(1, math.ceil(length)))


def safe_block_length(series: Series) -> int:
    """Return the block length for an interval of the mean of a series.

    It is the largest of the automatic lengths of the means of its cells, and at least an eighth.
    """
    size = len(series)
    length, num_cells = max(1, size // _MOST_BLOCKS), min(_FEWEST_CELLS, size)
    while num_cells <= min(_MOST_CELLS, size):
        starts = np.arange(num_cells) * size // num_cells
        sums = np.add.reduceat(series, starts, dtype=np.float64)
        means = sums / np.diff(starts, append=size)
        length = max(length, size * automatic_block_length(means) // num_cells)
        num_cells *= 4
    return length


def _autocovariances(series: Series) -> Float64[np.ndarray, " lags"]:
    """Return R(0) … R(2 m), where m is the last lag before several insignificant ones."""
    size = len(series)
    log = math.log10(size)
    fewest = max(5, math.ceil(math.sqrt(log)))
    most = min(size - 1, math.ceil(math.sqrt(size)) + fewest)
    significant = 2 * math.sqrt(log / size)
    centred = np.subtract(series, np.mean(series, dtype=np.float64), dtype=np.float64)

    def covariance(lag: int) -> float:
        return float(np.dot(centred[: size - lag], centred[lag:])) / size

    variances, last = [covariance(0)], 0
    if variances[0] > (1e-12 * max(1.0, abs(float(series[0])))) ** 2:
        for lag in range(1, most + 1):
            variances.append(covariance(lag))
            if abs(variances[lag]) >= significant * variances[0]:
                last = lag
            elif lag - last >= fewest:
                break
    else:
        variances = [0.0]
    num_lags = min(2 * last, most)
    variances += [covariance(lag) for lag in range(len(variances), num_lags + 1)]
    return np.array(variances[: num_lags + 1])


@dataclass(frozen=True)
class Resampling:
    """Blocks that are drawn from a series of some length, the same ones for every figure of it."""

    size: int
    block_length: int
    seed: int = 0
    has_records: bool = False
    """Whether the series has a number for each of several records, which are independent."""

    @classmethod
    def of(cls, series: Series, seed: int = 0) -> "Resampling":
        """Choose blocks for a series."""
        return cls(len(series), safe_block_length(series), seed)

    @classmethod
    def of_records(cls, number: int, seed: int = 0) -> "Resampling":
        """Draw single records."""
        return cls(number, 1, seed, has_records=True)

    @property
    def lack(self) -> str:
        """Return why the series has no interval; "" if it has one."""
        if self.has_records:
            is_enough = self.size >= FEWEST_RECORDS
            needed = f"too short for an interval, which needs {FEWEST_RECORDS} records"
            return "" if is_enough else needed
        if self.size < FEWEST_NUMBERS:
            return f"too short for an interval, which needs {FEWEST_NUMBERS} characters"
        if self.block_length * _FEWEST_BLOCKS > self.size:
            return (
                "too short for an interval: its losses rise and fall over passages longer than a "
                "sixth of it; score a longer text with --text, try the other held-out split with "
                "--split, or hold out more in training, such as --set corpus.split=0.8"
            )
        return ""

    def means(self, *series: Series) -> list[Float64[np.ndarray, " resamples"]]:
        """Return the mean of each series in each resample, with the same blocks for all."""
        cell = max(1, self.block_length // _CELLS_IN_A_BLOCK)
        cells = -(-self.size // cell)
        width = max(1, round(self.block_length / cell))
        num_blocks = -(-cells // width)
        sums = [_block_sums(one, cell, width) for one in series]
        length = _block_sums(np.ones(self.size, np.uint8), cell, width)
        random = np.random.default_rng(self.seed)
        step = max(1, _DRAWS_AT_ONCE // num_blocks)
        means: list[list[np.ndarray]] = [[] for _ in series]
        for start in range(0, RESAMPLES, step):
            shape = min(step, RESAMPLES - start), num_blocks
            places = random.integers(cells, size=shape)
            lengths = length[places].sum(axis=1)
            for its_means, its_sums in zip(means, sums, strict=True):
                its_means.append(its_sums[places].sum(axis=1) / lengths)
        return [np.concatenate(pieces) for pieces in means]

    def interval(self, figure: float, resampled: Float64[np.ndarray, " resamples"]) -> Interval:
        """Return the interval of a figure from those of the resamples.

        A resample of m blocks has (m − 1) / m of the variance, and t of m − 1 degrees of freedom is
        wider than a normal distribution (its first term in 1 / m). For blocks of a fixed share of
        the series, this is the correction to 2 %, or slightly wider. Blocks of running text also
        miss the correlation across their ends.
        """
        freedom = max(1.0, self.size / self.block_length - 1)
        widening = math.sqrt(1 + 1 / freedom) * (1 + (NORMAL_QUANTILE**2 + 1) / (4 * freedom))
        if not self.has_records:
            widening /= math.sqrt(1 - _LOST_VARIANCE)
        tails = (1 - LEVEL) / 2, (1 + LEVEL) / 2
        low, high = (np.quantile(resampled, tails) - figure) * widening
        return Interval(figure + min(0.0, float(low)), figure + max(0.0, float(high)))


def _block_sums(series: Series, cell: int, width: int) -> Float64[np.ndarray, " cells"]:
    """Return the sum of the block that begins at each cell; the series is a circle."""
    starts = np.arange(0, len(series), cell)
    sums = np.add.reduceat(series, starts, dtype=np.float64)
    around = np.concatenate([sums, np.resize(sums, width)])
    cumulative = np.concatenate([[0.0], np.cumsum(around)])
    blocks: np.ndarray = cumulative[width : width + len(sums)] - cumulative[: len(sums)]
    return blocks


def interval_of_mean(series: Series, seed: int = 0) -> tuple[Interval | None, Resampling]:
    """Return the interval of the mean of a series, or None (see `lack`), and the blocks."""
    resampling = Resampling.of(series, seed)
    if resampling.lack:
        return None, resampling
    (means,) = resampling.means(series)
    mean = float(np.mean(series, dtype=np.float64))
    return resampling.interval(mean, means), resampling
