"""Remember which items were seen, in at most 16 bytes an item.

An item is kept as a digest of 64 bits. Two different items among n have the same digest with a
probability of about n² / 2⁶⁵ (3 in 100 million for a million items); then the later one is taken
for known, and another is drawn in its place.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, UInt64

Digests = UInt64[np.ndarray, " items"]
_ID_BYTES = 4


class DigestSet:
    """A set of digests: sorted arrays, each less than half as long as the one before it."""

    def __init__(self) -> None:
        self._arrays: list[Digests] = []

    def __len__(self) -> int:
        return sum(map(len, self._arrays))

    @property
    def nbytes(self) -> int:
        """Number of bytes that it takes; while arrays are joined, at most twice as many."""
        return sum(array.nbytes for array in self._arrays)

    def contains(self, digests: Digests) -> Bool[np.ndarray, " items"]:
        """Return which digests are in the set."""
        found = np.zeros(len(digests), bool)
        for array in self._arrays:
            places = np.searchsorted(array, digests)
            found |= array[np.minimum(places, len(array) - 1)] == digests
        return found

    def add(self, digests: Digests) -> Bool[np.ndarray, " items"]:
        """Add digests; return which are new, and the first of equal ones."""
        _, first = np.unique(digests, return_index=True)
        is_new = np.zeros(len(digests), bool)
        is_new[first] = ~self.contains(digests[first])
        if is_new.any():
            self._arrays.append(np.sort(digests[is_new]))
        while len(self._arrays) > 1 and 2 * len(self._arrays[-1]) >= len(self._arrays[-2]):
            joined = np.concatenate([self._arrays.pop(), self._arrays.pop()])
            joined.sort()
            self._arrays.append(joined)
        return is_new


def digest_of(items: Iterable[np.ndarray]) -> Digests:
    """Return the digests of items, which are ids of one vocabulary."""
    return _digests(item.astype("<u4").tobytes() for item in items)


def digests_between(ids: np.ndarray, bounds: Sequence[int]) -> Digests:
    """Return the digests of the items between the ids at each two neighbouring bounds."""
    first = bounds[0]
    data = memoryview(ids[first + 1 : bounds[-1]].astype("<u4").tobytes())
    places = [_ID_BYTES * (bound - first) for bound in bounds]
    return _digests(data[a : b - _ID_BYTES] for a, b in pairwise(places))


def _digests(items: Iterable[bytes | memoryview]) -> Digests:
    digests = [blake2b(item, digest_size=8, usedforsecurity=False).digest() for item in items]
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)
