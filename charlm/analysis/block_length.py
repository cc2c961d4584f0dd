"""Choose the length of the blocks of a bootstrap from the series.

It follows from the autocorrelation of the series (Politis and White, "Automatic block-length
selection for the dependent bootstrap", 2004, as corrected by Patton, Politis and White, 2009), but
is at least an eighth of it. The automatic length gives the variance with the least error. An
interval needs longer blocks, because a short one loses correlation, and the loss makes the interval
too narrow (Sun, Phillips and Jin, "Optimal bandwidth selection in heteroskedasticity-
autocorrelation robust testing", 2008).

The automatic length is that of the means of cells, of several sizes: a correlation that is weak
from character to character, but lasts for long, shows only in means of many characters.
"""

import math

import numpy as np
from jaxtyping import Float64, Shaped

_MOST_BLOCKS = 8
"""Number of blocks of a series, at most."""
_FEWEST_CELLS, _MOST_CELLS = 64, 1024
"""Numbers of cells of a series from the means of which a block length is chosen."""

Series = Shaped[np.ndarray, " characters"]


def automatic_block_length(series: Series) -> int:
    """Return the block length for the mean of a series, from its autocorrelation.

    m is the smallest lag that several insignificant autocorrelations follow. With the flat-top
    window λ over 2 m lags, G = Σ λ(k / 2m) |k| R(k) and g = Σ λ(k / 2m) R(k), the length
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
