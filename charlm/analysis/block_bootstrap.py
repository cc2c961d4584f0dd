"""Give a mean over a text a 95 % interval, by a circular block bootstrap.

Characters that follow one another are not independent: a hard word is hard for several characters,
a hard passage for thousands. So whole blocks of characters are drawn with replacement (Politis and
Romano, "A circular block-resampling procedure for stationary data", 1992).

The blocks are an eighth of the series or longer (see `block_length`). So few blocks vary too
little, which critical values for a fixed share of the series correct (Kiefer and Vogelsang, 2005;
for the block bootstrap Shao and Politis, "Fixed b subsampling and the block bootstrap", 2013). A
drift that lasts for a hundredth of the series still loses a tenth of its variance, so all intervals
are widened.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from charlm.analysis.block_length import Series, safe_block_length

LEVEL = 0.95
RESAMPLES = 2000
FEWEST_NUMBERS = 100
"""Length of a series below which its mean has no interval."""
FEWEST_RECORDS = 20
"""Number of independent records below which their mean has none: it would be too narrow."""
_FEWEST_BLOCKS = 6
"""Number of blocks of a series; if a sixth of it is too short a block, there is no interval."""
_LOST_VARIANCE = 1 / 8
"""Fraction of the variance of a mean that blocks miss, if a drift lasts for a tenth of a block."""
_CELLS_IN_A_BLOCK = 100
"""Number of places in a long block at which a block may begin."""
_DRAWS_AT_ONCE = 1 << 21
NORMAL_QUANTILE = 1.959964
"""Quantile of the standard normal distribution at (1 + `LEVEL`) / 2."""


class Interval(NamedTuple):
    """Both ends of an interval."""

    low: float
    high: float

    def map(self, function: Callable[[float], float]) -> "Interval":
        """Return the interval of an increasing function of the figure."""
        return Interval(function(self.low), function(self.high))

    def __contains__(self, figure: object) -> bool:
        return isinstance(figure, int | float) and self.low <= figure <= self.high


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
