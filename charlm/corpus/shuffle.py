"""Shuffle any number of positions in constant memory."""

import numpy as np
from jaxtyping import Int64, Integer


class Shuffle:
    """A random permutation of `range(size)`, computed position by position.

    An array of the permutation takes 8 bytes for each position, and is drawn again in every epoch
    and after every resume: 3 GB for the windows of a text of 100 GB. This method takes 48 bytes. An
    array would suffice for a text of some megabytes, but would be a second method to maintain.

    It is a Feistel network over the smallest power of four that is at least `size`, applied again
    to results outside the range (cycle walking: Black and Rogaway, "Ciphers with arbitrary
    finite domains", 2002).
    """

    _ROUNDS = 6

    def __init__(self, size: int, random: np.random.Generator) -> None:
        self._size = size
        self._half = np.uint64(max(1, (max(1, size - 1).bit_length() + 1) // 2))
        self._mask = np.uint64((1 << int(self._half)) - 1)
        self._keys = random.integers(0, 2**64, self._ROUNDS, np.uint64)

    def __call__(self, positions: Integer[np.ndarray, "n"]) -> Int64[np.ndarray, "n"]:
        values = self._permute(positions.astype(np.uint64))
        while (outside := values >= self._size).any():
            values[outside] = self._permute(values[outside])
        permuted: Int64[np.ndarray, n] = values.astype(np.int64)
        return permuted

    def _permute(self, values: Integer[np.ndarray, "n"]) -> Integer[np.ndarray, "n"]:
        left, right = values >> self._half, values & self._mask
        for key in self._keys:
            left, right = right, left ^ (_mix(right ^ key) & self._mask)
        return (left << self._half) | right


def _mix(values: Integer[np.ndarray, "n"]) -> Integer[np.ndarray, "n"]:
    """Let every bit affect all bits (finaliser of SplitMix64: Steele, Lea and Flood, 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Integer[np.ndarray, n] = values ^ (values >> np.uint64(31))
    return mixed
