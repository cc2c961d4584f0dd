"""The match model: what followed the latest repetition of the last characters.

It looks up where the last 12 characters stood most recently in what was counted, else the last 6,
and predicts the symbol that followed there. The match is as long as the characters before are
equal, up to `MATCH_WINDOW`, in one record. It keeps nothing from place to place, so that any place
can be predicted alone. After the match model of PAQ and lpaq (Mahoney, 2005, "Adaptive weighing of
context models for lossless data compression"), where a pointer follows a match until it fails.

A table has the latest position of each context, in 5 to 6 bytes. The kernels also store the text,
in 1, 2 or 4 bytes a character, as the vocabulary needs.
"""

import numpy as np
from jaxtyping import Int64

from charlm.models.ngrams.contexts import Keys, context_keys, longest_contexts

MATCH_WINDOW = 32
"""Number of characters before a place that a match compares."""
MATCH_LENGTHS = (12, 6)
"""Lengths of the contexts that are looked up, in this order."""
MATCH_STEPS = (6, 8, 10, 12, 14, 16, 20, 26, 32)
"""Lengths of matches from which another row of weights is added; below them, there is no match."""
NUM_MATCH_ROWS = len(MATCH_STEPS) + 1
_FEW_CONTEXTS = 256
"""Smallest number of contexts for which sorting is faster than storing them one by one."""

_Ids = Int64[np.ndarray, " ids"]
_Places = Int64[np.ndarray, " places"]


def match_rows(lengths: Int64[np.ndarray, " places"]) -> Int64[np.ndarray, " places"]:
    """Return the number of the row of weights for matches of these lengths; 0: there is none."""
    return np.searchsorted(np.array(MATCH_STEPS), lengths, "right")


class Matches:
    """The counted text, and the latest position after each of its contexts."""

    def __init__(self, boundary: int | None) -> None:
        self._boundary = boundary
        self._text = np.full(MATCH_WINDOW, -1, np.int64)
        self._size = len(self._text)
        self._latest = {length: _Latest() for length in MATCH_LENGTHS}

    def add(self, ids: _Ids, places: _Places) -> None:
        """Add the ids at these places, which stand one after another."""
        self._follow(ids, places[:1])
        positions = places + (self._size - places[:1])
        self._append(ids[places])
        limits = longest_contexts(ids, places, MATCH_LENGTHS[0], self._boundary)
        for length, latest in self._latest.items():
            own = places[limits >= length]
            latest.set(context_keys(ids, own, length), positions[limits >= length])

    def find(
        self, ids: _Ids, places: _Places
    ) -> tuple[Int64[np.ndarray, " places"], Int64[np.ndarray, " places"]]:
        """Return the symbol that followed the match of each place, and the match's length, or 0."""
        limits = longest_contexts(ids, places, MATCH_WINDOW, self._boundary)
        positions, lengths = np.zeros_like(places), np.zeros_like(places)
        for length, latest in self._latest.items():
            free = np.flatnonzero((lengths == 0) & (limits >= length))
            found = latest.find(context_keys(ids, places[free], length))
            equal = self._num_equal(ids, places[free], found, limits[free])
            is_match = equal >= length  # else two contexts have the same hash
            positions[free[is_match]], lengths[free[is_match]] = found[is_match], equal[is_match]
        return self._text[positions], lengths

    def _num_equal(
        self, ids: _Ids, places: _Places, positions: _Places, limits: _Places
    ) -> Int64[np.ndarray, " places"]:
        """Return how many characters before places and positions are equal; 0 at position 0."""
        lengths, is_equal = np.zeros_like(places), positions > 0
        for distance in range(1, MATCH_WINDOW + 1):
            is_equal &= distance <= limits
            is_equal &= self._text[positions - distance] == ids[places - distance]
            lengths += is_equal
        return lengths

    def _follow(self, ids: _Ids, first: _Places) -> None:
        """Make the context before the first place the end of the stored text."""
        if not len(first):
            return
        length = int(longest_contexts(ids, first, MATCH_WINDOW, self._boundary)[0])
        context = ids[first[0] - length : first[0]]
        begins = length < MATCH_WINDOW and (not length or context[0] != self._boundary)
        marked = np.concatenate([[-1], context])
        compared = marked if begins else context
        if not np.array_equal(self._text[self._size - len(compared) : self._size], compared):
            self._append(marked)

    def _append(self, ids: _Ids) -> None:
        size = self._size + len(ids)
        if size > len(self._text):
            grown = np.zeros(max(size, 2 * len(self._text)), np.int64)
            grown[: self._size] = self._text[: self._size]
            self._text = grown
        self._text[self._size : size] = ids
        self._size = size


class _Latest:
    """The latest position after each context of one length, by the hash of the context."""

    def __init__(self) -> None:
        self._keys = np.empty(0, np.uint64)
        self._positions = np.empty(0, np.int64)
        self._changed = dict[int, int]()
        """Positions of contexts that were added one by one later."""

    def set(self, keys: Keys, positions: _Places) -> None:
        """Store the latest positions; they grow from call to call."""
        if len(keys) < _FEW_CONTEXTS:
            self._changed |= zip(keys.tolist(), positions.tolist(), strict=True)
            return
        changed = np.fromiter(self._changed, np.uint64), np.fromiter(self._changed.values(), int)
        keys = np.concatenate([self._keys, changed[0], keys])
        positions = np.concatenate([self._positions, changed[1], positions])
        order = np.lexsort((positions, keys))
        is_last = np.diff(keys[order], append=~keys[order][-1:]) != 0
        self._keys, self._positions = keys[order][is_last], positions[order][is_last]
        self._changed = {}

    def find(self, keys: Keys) -> _Places:
        """Return the latest position after each context; 0: there is none."""
        places = np.searchsorted(self._keys, keys)
        is_known = np.searchsorted(self._keys, keys, "right") > places
        positions = np.zeros(len(keys), np.int64)
        positions[is_known] = self._positions[places[is_known]]
        if self._changed:
            changed = [self._changed.get(key, 0) for key in keys.tolist()]
            positions = np.maximum(positions, np.array(changed, np.int64))
        return positions
