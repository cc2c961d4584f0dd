"""Random numbers for each draw of an item: they depend on the seed, the draw and the place only.

So an item depends neither on the number of threads nor on what is drawn beside it.
"""

import numpy as np
from jaxtyping import Float64, Int64, UInt64

_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def uniforms(
    seed: int,
    draws: Int64[np.ndarray, " columns"],
    places: Int64[np.ndarray, " columns"],
    steps: int,
) -> Float64[np.ndarray, "steps columns"]:
    """Return numbers in [0, 1) for `steps` characters of each draw, from its place on.

    Each draw has its own SplitMix64 generator (Steele, Lea and Flood, 2014).
    """
    key = _mix(np.array([seed % 2**64], np.uint64) + _GAMMA)
    streams = _mix(key + draws.astype(np.uint64) * _GAMMA)
    counters = places.astype(np.uint64) + np.arange(1, steps + 1, dtype=np.uint64)[:, None]
    bits = _mix(streams + counters * _GAMMA) >> np.uint64(11)
    return bits.astype(np.float64) * 2.0**-53


def _mix(z: UInt64[np.ndarray, "*shape"]) -> UInt64[np.ndarray, "*shape"]:
    """Return the output of SplitMix64 for its states; arithmetic is modulo 2⁶⁴."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: UInt64[np.ndarray, "*shape"] = z ^ (z >> np.uint64(31))
    return mixed
