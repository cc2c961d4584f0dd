"""Contexts of the line above: the character there in the same field, at the same offset.

A line has fields; a space, a tab, a comma, a semicolon or a bar ends each. A position in a line is
the number of the field and the offset in it. So fields are compared with each other however long
the fields before them are. There are three contexts: the character above and its position; the
character above and the last character; the character above and the one above that. All three also
say whether this field so far is equal to the field above. So fields of tables and logs are
predicted from the lines before, whether they repeat or grow.

The contexts see only the last `LINE_WINDOW` characters, of one record. The character before the
line above, or the beginning of the text, must be among them.
"""

import numpy as np
from jaxtyping import Bool, Int64, UInt64

from charlm.corpus.letters import FIELD_END, LINE_END
from charlm.models.ngrams.contexts import FIRST_HASH, add_to_hashes
from charlm.models.ngrams.words import Letters, after_last

LINE_WINDOW = 1024
"""Number of characters before a place in which this line and the two above are looked for."""
NUM_LINE_CONTEXTS = 3
NUM_LINE_STATES = 3
"""States of a place: nothing stands above; its field so far differs from that above; is equal."""

_Ids = Int64[np.ndarray, " ids"]
_Places = Int64[np.ndarray, " places"]


def line_keys(
    ids: _Ids, places: _Places, letters: Letters, boundary: int | None
) -> tuple[UInt64[np.ndarray, "contexts places"], _Places]:
    """Return the hashes of the contexts of the line above, 0 where there are none, and the states.

    The state of a place is 0 if nothing stands above it, 1 if its field so far is not equal to the
    field above, and 2 if it is equal.
    """
    keys, states = np.zeros((NUM_LINE_CONTEXTS, len(places)), np.uint64), np.zeros_like(places)
    if not len(places):
        return keys, states
    first = max(0, int(places.min()) - LINE_WINDOW)
    ids, places = ids[first : places.max()], places - first
    is_outside = ids < 0 if boundary is None else (ids < 0) | (ids == boundary)
    codes = np.where(is_outside, 1, letters[ids])
    line_starts = after_last(is_outside | (codes == LINE_END))
    field_starts = after_last(codes == FIELD_END)
    num_fields = np.append(0, np.cumsum(codes == FIELD_END))  # that end before each place
    field_ends = np.append(np.flatnonzero(codes == FIELD_END), 0)

    starts = line_starts[places]
    numbers = num_fields[places] - num_fields[starts]
    offsets = places - np.maximum(starts, field_starts[places])

    def find_places(starts: _Places) -> tuple[_Places, _Places]:
        """Return the places at the same position one line up, or −1, and that line's start."""
        ends = starts - 1
        firsts = line_starts[ends]
        is_line = (ends >= 0) & (codes[ends] == LINE_END) & (places - firsts < LINE_WINDOW)
        has_field = num_fields[ends] - num_fields[firsts] >= numbers
        last_ends = np.minimum(num_fields[firsts] + numbers, len(field_ends)) - 1
        found = np.where(numbers > 0, field_ends[last_ends] + 1, firsts) + offsets
        return np.where(is_line & has_field & (found <= ends), found, -1), firsts

    above, above_starts = find_places(starts)
    two_above, _ = find_places(above_starts)
    known = np.flatnonzero(above >= 0)
    above, two_above, places = above[known], two_above[known], places[known]
    agrees = _are_equal(ids, places, above, offsets[known])
    states[known] = 1 + agrees

    hashes = np.full(len(known), FIRST_HASH)
    hashes = _add(_add(hashes, ids[above] + 1), agrees.astype(np.int64))
    keys[0, known] = _add(_add(hashes, numbers[known]), offsets[known])
    keys[1, known] = _add(hashes, ids[places - 1] + 1)
    keys[2, known] = _add(hashes, np.where(two_above < 0, 0, ids[two_above] + 1))
    return keys, states


def _add(
    hashes: UInt64[np.ndarray, " places"], part: Int64[np.ndarray, " places"]
) -> UInt64[np.ndarray, " places"]:
    return add_to_hashes(hashes, part.view(np.uint64))


def _are_equal(
    ids: _Ids, places: _Places, others: _Places, lengths: _Places
) -> Bool[np.ndarray, " places"]:
    """Return whether the ids before places and before other places are equal, for these lengths."""
    are_equal = np.ones(len(places), bool)
    for distance in range(1, lengths.max(initial=0) + 1):
        compared = np.flatnonzero(are_equal & (lengths >= distance))
        are_equal[compared] = ids[places[compared] - distance] == ids[others[compared] - distance]
    return are_equal
