"""Contexts of words: the letters of the word that is being written, and words before it.

The contexts of a place are four: the letters of its word so far; these and the word before; these
and the word before that; these and both. What stands between words is no part of them. They see
only the last `WORD_WINDOW` characters, of one record: a word that begins before is cut.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64, UInt64

from charlm.models.ngrams.contexts import add_to_hashes

WORD_WINDOW = 64
"""Number of characters before a place in which its words are looked for."""
NUM_WORD_CONTEXTS = 4

Letters = Int64[np.ndarray, " vocabulary"]
"""The letter that each symbol stands for, the same in upper and lower case; 0 or less if it
is none (see `corpus.letters`)."""

_SEED = 0xD6E8FEB86659FD93
_LETTER_FACTOR = 0x94D049BB133111EB
_INVERSE_FACTOR = pow(_LETTER_FACTOR, -1, 1 << 64)

_Places = Int64[np.ndarray, " places"]


class _Spans(NamedTuple):
    """A word before each of several places."""

    starts: _Places
    ends: _Places


def word_keys(
    ids: Int64[np.ndarray, " ids"], places: _Places, letters: Letters, boundary: int | None
) -> UInt64[np.ndarray, "contexts places"]:
    """Return the hashes of the contexts of words that end before these places."""
    ends_words = ids < 0 if boundary is None else (ids < 0) | (ids == boundary)
    if not len(places):
        return np.empty((NUM_WORD_CONTEXTS, 0), np.uint64)
    first = max(0, int(places.min()) - WORD_WINDOW)
    last_place = int(places.max())
    ids, ends_words = ids[first:last_place], ends_words[first:last_place]
    places = places - first
    codes = np.where(ids < 0, 0, letters[ids])
    lowest = np.maximum(after_last(ends_words)[places], places - WORD_WINDOW)
    begins, ends = after_last(codes <= 0), after_last(codes > 0)
    own = _Spans(np.maximum(begins[places], lowest), places)
    last = _word_before(own, begins, ends, lowest)
    second = _word_before(last, begins, ends, lowest)
    this_word, last_word, second_word = _hashes(codes, [own, last, second])
    nothing = np.zeros_like(this_word)
    keys = np.empty((NUM_WORD_CONTEXTS, len(places)), np.uint64)
    for number in range(NUM_WORD_CONTEXTS):
        key = np.full(len(places), (2 * number + 3) * _SEED % (1 << 64), np.uint64)
        before = last_word if number & 1 else nothing, second_word if number & 2 else nothing
        for part in (this_word, *before):
            key = add_to_hashes(key, part)
        keys[number] = key
    return keys


def after_last(is_marked: Bool[np.ndarray, " ids"]) -> Int64[np.ndarray, " ids+1"]:
    """Return, for each place, the position after the last marked id before it, or 0."""
    positions = np.where(is_marked, np.arange(1, len(is_marked) + 1), 0)
    return np.append(0, np.maximum.accumulate(positions))


def _word_before(span: _Spans, begins: np.ndarray, ends: np.ndarray, lowest: _Places) -> _Spans:
    """Return the word before another; where there is none, it is empty."""
    end = np.maximum(ends[span.starts], lowest)
    return _Spans(np.maximum(begins[end], lowest), end)


def _hashes(
    codes: Int64[np.ndarray, " ids"], words: list[_Spans]
) -> list[UInt64[np.ndarray, " places"]]:
    """Return polynomial hashes: of differences of sums over all letters before."""
    powers = np.full(len(codes) + 1, _LETTER_FACTOR, np.uint64)
    inverses = np.full(len(codes) + 1, _INVERSE_FACTOR, np.uint64)
    powers[0] = inverses[0] = 1
    powers, inverses = np.multiply.accumulate(powers), np.multiply.accumulate(inverses)
    sums = np.append(np.uint64(0), np.cumsum(codes.astype(np.uint64) * powers[:-1]))
    return [(sums[word.ends] - sums[word.starts]) * inverses[word.starts] for word in words]
