"""Contexts of the line above: what stands there at the place of the next character.

The place is that of the word with the same number in its line: the first character of the third
word is below that of the third word above, however long the words before them are. What stands
between words and is no letter ends a word, each character by itself. The contexts of a place are
two: the character above, the number of the word and the place in it; the character above and the
last character. Both also say whether all of this word so far is equal to the word above. So fields
of tables and logs that repeat, or that grow, are predicted from the line before.

They see only the last `LINE_WINDOW` characters, of one record: the line above must begin there.
"""

import numpy as np
from jaxtyping import Bool, Int64, UInt64

from charlm.models.ngrams.contexts import FIRST_HASH, add_to_hashes
from charlm.models.ngrams.words import Letters, after_last

LINE_WINDOW = 1024
"""Number of characters before a place in which this line and the line above are looked for."""
NUM_LINE_CONTEXTS = 2
NUM_LINE_STATES = 3
"""Number of states of a place: nothing stands above it; the word differs so far; it agrees."""

_Places = Int64[np.ndarray, " places"]


def line_keys(
    ids: Int64[np.ndarray, " ids"], places: _Places, letters: Letters, boundary: int | None
) -> tuple[UInt64[np.ndarray, "contexts places"], _Places]:
    """Return the hashes of the contexts of the line above, 0 where there are none, and the states.

    The state of a place is 0 if nothing stands above it, 1 if its word so far is not equal to the
    word above, and 2 if it is equal.
    """
    keys, states = np.zeros((NUM_LINE_CONTEXTS, len(places)), np.uint64), np.zeros_like(places)
    if not len(places):
        return keys, states
    first = max(0, int(places.min()) - LINE_WINDOW)
    ids, places = ids[first : places.max()], places - first
    is_outside = ids < 0 if boundary is None else (ids < 0) | (ids == boundary)
    codes = np.where(is_outside, 1, letters[ids])
    line_starts, word_ends = after_last(is_outside | (codes < 0)), np.flatnonzero(codes == 0)
    num_words = np.append(0, np.cumsum(codes == 0))  # that end before each place

    starts = line_starts[places]
    ends = starts - 1  # of the line above; -1: there is none
    has_above = (ends >= 0) & (codes[ends] < 0) & (places - ends <= LINE_WINDOW)
    known = np.flatnonzero(has_above)
    places, starts, ends = places[known], starts[known], ends[known]
    above_starts = line_starts[ends]
    numbers = num_words[places] - num_words[starts]
    offsets = places - np.maximum(starts, after_last(codes == 0)[places])
    word_numbers = np.minimum(num_words[above_starts] + numbers, len(word_ends)) - 1
    words = np.where(numbers > 0, np.append(word_ends, 0)[word_numbers] + 1, above_starts)
    above = words + offsets
    is_inside = (places - above_starts < LINE_WINDOW) & (above_starts > 0)
    is_inside &= (num_words[ends] - num_words[above_starts] >= numbers) & (above <= ends)
    known, places, words, above, numbers, offsets = (
        one[is_inside] for one in (known, places, words, above, numbers, offsets)
    )
    agrees = _are_equal(ids, words, places - offsets, offsets)
    states[known] = 1 + agrees
    keys[:, known] = _keys(ids, places, above, numbers, offsets, agrees)
    return keys, states


def _are_equal(
    ids: Int64[np.ndarray, " ids"], first: _Places, second: _Places, lengths: _Places
) -> Bool[np.ndarray, " places"]:
    """Return whether the ids from two places on are equal, for this length."""
    are_equal = np.ones(len(lengths), bool)
    for distance in range(lengths.max(initial=0)):
        compared = np.flatnonzero(are_equal & (lengths > distance))
        are_equal[compared] = ids[first[compared] + distance] == ids[second[compared] + distance]
    return are_equal


def _keys(
    ids: Int64[np.ndarray, " ids"],
    places: _Places,
    above: _Places,
    numbers: _Places,
    offsets: _Places,
    agrees: Bool[np.ndarray, " places"],
) -> list[UInt64[np.ndarray, " places"]]:
    keys = np.full(len(places), FIRST_HASH)
    for part in (ids[above] + 1, agrees.astype(np.int64)):
        keys = add_to_hashes(keys, part.view(np.uint64))
    of_place = add_to_hashes(add_to_hashes(keys, numbers.view(np.uint64)), offsets.view(np.uint64))
    return [of_place, add_to_hashes(keys, (ids[places - 1] + 1).view(np.uint64))]
