"""Contexts of the last characters before a place: their length and their hash, in numpy."""

import numpy as np
from jaxtyping import Int64, UInt64

Keys = UInt64[np.ndarray, " contexts"]

_FACTOR = np.uint64(0xBF58476D1CE4E5B9)
FIRST_HASH = np.uint64(0x9E3779B97F4A7C15)
"""The hash of the empty context."""

_Ids = Int64[np.ndarray, " ids"]
_Places = Int64[np.ndarray, " places"]


def add_to_hashes(hashes: Keys, values: Keys) -> Keys:
    """Return the hashes of contexts that get one more part each, as in the kernels."""
    hashes = hashes ^ values
    hashes *= _FACTOR
    hashes ^= hashes >> np.uint64(29)
    return hashes


def context_keys(ids: _Ids, places: _Places, length: int) -> UInt64[np.ndarray, " places"]:
    """Return the hashes of the contexts of this length that end before these places."""
    keys = np.full(len(places), FIRST_HASH)
    for distance in range(1, length + 1):
        keys = add_to_hashes(keys, (ids[places - distance] + 1).view(np.uint64))
    return keys


def longest_contexts(
    ids: _Ids, places: _Places, most: int, boundary: int | None
) -> Int64[np.ndarray, " places"]:
    """Return the length of the longest context, up to `most`, within the text and a record."""
    longest, is_inside = np.zeros(len(places), np.int64), np.ones(len(places), bool)
    for length in range(1, most + 1):
        first = ids[places - length]
        is_inside &= first >= 0
        longest[is_inside] = length
        if boundary is not None:
            is_inside &= first != boundary
    return longest
