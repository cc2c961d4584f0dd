"""Find the spans of a text that stand verbatim in another one.

One suffix array holds both texts. The longest span from a position of the query stands at one of
the two suffixes of the training text between which the query's suffix is sorted.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Integer

from charlm.analysis.suffix_array import (
    SEPARATOR,
    Alphabet,
    Codes,
    Positions,
    common_length,
    common_lengths,
    pieces,
    sorted_suffixes,
)

_BLOCK = 1 << 14
"""Number of positions to compare at a time; it bounds the memory for temporary arrays."""
_LONG = 256
"""Length from which matches are compared one by one, and only where their end may change."""


@dataclass(frozen=True)
class Matches:
    """For each position of a query, the longest span from there that stands in a training text."""

    lengths: Positions
    places: Positions
    """Position in the training text; any if the length is 0."""


@dataclass(frozen=True)
class Span:
    """A span of a query that stands in a training text."""

    start: int
    length: int
    place: int
    """Position in the training text."""

    @property
    def end(self) -> int:
        return self.start + self.length


def longest_matches(
    training: Integer[np.ndarray, " training"],
    query: Integer[np.ndarray, " query"],
    unknown: int | None = None,
) -> Matches:
    """Find the longest match of each position of `query` in `training`.

    The id `unknown` stands for different characters, so it equals nothing, not even itself. This
    takes at most 12 bytes for each character of both texts, beyond the texts.
    """
    alphabet = Alphabet.of(training, unknown)
    first = len(training) + 1
    codes = np.full(first + len(query) + 1, alphabet.foreign, alphabet.table.dtype)
    alphabet.encode(training, codes[: first - 1])
    alphabet.encode(query, codes[first:-1])
    codes[: first - 1][codes[: first - 1] == alphabet.foreign] = SEPARATOR  # unknown characters
    codes[first - 1] = SEPARATOR
    array = sorted_suffixes(codes)
    before = _previous_of_training(array, first, len(query))
    after = _previous_of_training(array[::-1], first, len(query))
    matches = Matches(np.zeros(len(query), array.dtype), np.zeros(len(query), array.dtype))
    del array  # as large as all that follows
    for nearest in (before, after):
        for start in range(0, len(query), _BLOCK):
            block = slice(start, start + _BLOCK)
            lengths = _lengths_at(codes, nearest[block], first + start)
            is_longer = lengths > matches.lengths[block]
            matches.lengths[block][is_longer] = lengths[is_longer]
            matches.places[block][is_longer] = nearest[block][is_longer]

    def exact(position: int) -> Span:
        spans = (
            Span(
                position,
                common_length(codes, int(place[position]), first + position),
                int(place[position]),
            )
            for place in (before, after)
        )
        return max(spans, key=lambda span: span.length)

    _measure_long_matches(matches, exact)
    return matches


def _measure_long_matches(matches: Matches, exact: Callable[[int], Span]) -> None:
    """Correct the lengths of long matches, of which only a beginning was compared.

    The ends of matches never fall from one position to the next. So between two positions with the
    same end, all have this end: each distinct span is compared a few times.
    """
    is_long = np.concatenate([[False], matches.lengths >= _LONG, [False]])
    edges = np.flatnonzero(is_long[1:] != is_long[:-1]).reshape(-1, 2)
    pending = [(exact(start), exact(end - 1)) for start, end in edges.tolist()]
    while pending:
        left, right = pending.pop()
        if left.end != right.end and right.start - left.start > 1:
            middle = exact((left.start + right.start) // 2)
            pending += [(left, middle), (middle, right)]
            continue
        stop = right.start if left.end != right.end else right.start + 1
        offsets = np.arange(stop - left.start)
        matches.lengths[left.start : stop] = left.length - offsets
        matches.places[left.start : stop] = left.place + offsets
        matches.lengths[right.start], matches.places[right.start] = right.length, right.place


def _previous_of_training(
    suffixes: Positions, first: int, size: int
) -> Integer[np.ndarray, " query"]:
    """Return, for each position of the query, the last training suffix sorted before its suffix.

    The query begins at the position `first`. A position without such a suffix has its separator.
    """
    nearest: Integer[np.ndarray, query] = np.zeros(size, suffixes.dtype)
    last = first - 1
    for piece in pieces(suffixes):
        is_query = piece >= first
        ranks = np.where(is_query, 0, np.arange(1, len(piece) + 1, dtype=np.int32))
        np.maximum.accumulate(ranks, out=ranks)
        previous = np.append(piece.dtype.type(last), piece)[ranks]
        queried = piece[is_query] - first
        is_within = queried < size  # not the code that ends the array
        nearest[queried[is_within]] = previous[is_query][is_within]
        last = int(previous[-1])
    return nearest


def _lengths_at(codes: Codes, places: Positions, start: int) -> Positions:
    """Return how much the query from `start` on has in common with each of the places.

    Where the next position of the query has the next place, its length is one less. So only the
    last one of each such chain is compared. Lengths from `_LONG` on may be too small.
    """
    size = len(places)
    is_equal = codes[start : start + size] == codes[places]
    is_last = np.append(np.diff(places) != 1, True)
    is_end = is_last | ~is_equal
    ends = np.where(is_end, np.arange(size), size)
    ends = np.minimum.accumulate(ends[::-1])[::-1]
    compared = np.flatnonzero(is_last & is_equal)
    lengths_of_ends = np.zeros(size, np.int64)
    lengths_of_ends[compared] = common_lengths(codes, places[compared], start + compared, _LONG)
    lengths: Positions = ends - np.arange(size) + lengths_of_ends[ends]
    return lengths


def covered(lengths: Positions, least: int) -> Bool[np.ndarray, " positions"]:
    """Return which characters are in spans of at least `least` characters."""
    starts = np.arange(len(lengths))
    ends = np.where(lengths >= least, starts + lengths, 0)
    is_covered: Bool[np.ndarray, positions] = np.maximum.accumulate(ends) > starts
    return is_covered


def longest_spans(matches: Matches, count: int, least: int = 1) -> list[Span]:
    """Return the longest spans of at least `least` characters; no two of them overlap."""
    lengths = matches.lengths.astype(np.int64)
    is_start = lengths >= max(1, least)
    is_start[1:] &= lengths[1:] >= lengths[:-1]  # not within the span from the position before
    starts = np.flatnonzero(is_start)
    starts = starts[np.argsort(-lengths[starts], kind="stable")]
    is_taken = np.zeros(len(lengths), np.bool_)
    spans: list[Span] = []
    for start in starts.tolist():
        if len(spans) == count:
            break
        end = start + int(lengths[start])
        if not (is_taken[start] or is_taken[end - 1]):  # those taken are at least as long
            is_taken[start:end] = True
            spans.append(Span(start, end - start, int(matches.places[start])))
    return spans
