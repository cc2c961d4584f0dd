"""Estimate how much of a text occurs in another one, by hashed passages of 50 characters.

A `Sketch` keeps the smallest hashes of the passages of a text (Broder, "On the resemblance and
containment of documents", 1997). The passages of another text whose hashes are as small are looked
up in it: the fraction that is found estimates the fraction of its passages that occur in the first
text. Hashes are of code points, or of bytes with `unit: byte`, so they do not depend on the
vocabulary; passages with an unknown character are omitted. The passages of a list are its records,
however short they are.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Int64, UInt64

from charlm.corpus.records import record_ends
from charlm.corpus.vocabulary import NUM_CODE_POINTS, Ids, Vocabulary

PASSAGE_CHARACTERS = 50
"""Length of a passage; shorter passages of one language coincide by chance."""
_MAX_HASHES = 1 << 15
"""Number of hashes in a sketch, which then takes 256 KB."""
MAX_ANCHOR_BITS = 8
_ANCHOR_CHARACTERS = 16
"""Length of the beginning of a passage that decides whether the passage is hashed."""
_BLOCK_CHARACTERS = 1 << 19
"""Number of passages to hash at a time."""
_MAX_REHASHED_CHARACTERS = 1 << 24
"""Length of a text above which it is hashed only once, even if that fills no sketch."""
_PASSAGE_BASE = np.uint64(0x9E3779B97F4A7C15)
_ANCHOR_BASE = 0x6D2B

Hashes = UInt64[np.ndarray, " _"]


@dataclass(frozen=True)
class Sketch:
    """The smallest hashes of a text's passages."""

    hashes: Hashes
    """Hashes in ascending order, without duplicates."""
    anchor_bits: int
    """Sparsity: one in 2^anchor_bits passages was hashed, chosen by its first characters."""

    @property
    def largest(self) -> np.uint64:
        """The largest hash that the sketch can keep: any hash, while it has room."""
        is_full = len(self.hashes) >= _MAX_HASHES
        return self.hashes[-1] if is_full else np.uint64(np.iinfo(np.uint64).max)


def sketch(ids: Ids, vocabulary: Vocabulary, boundary: int | None = None) -> Sketch:
    """Return the sketch of a text, or of records; memory does not grow with the text."""
    if boundary is not None:
        return Sketch(_smallest(_record_hashes(ids, vocabulary, boundary)), 0)
    bits = _anchor_bits(len(ids))
    found = _smallest(_hashes(ids, vocabulary, bits))
    while bits and len(found) < _MAX_HASHES and len(ids) < _MAX_REHASHED_CHARACTERS:
        bits = max(0, bits - 3)  # a text that repeats itself has few different passages
        found = _smallest(_hashes(ids, vocabulary, bits))
    return Sketch(found, bits)


def count_common(
    known: Sketch, ids: Ids, vocabulary: Vocabulary, boundary: int | None = None
) -> tuple[int, int]:
    """Return how many passages, or records, are in a sketch, and how many were looked up."""
    common = compared = 0
    every = (
        _hashes(ids, vocabulary, known.anchor_bits)
        if boundary is None
        else _record_hashes(ids, vocabulary, boundary)
    )
    for hashes in every:
        small = hashes[hashes <= known.largest]
        compared += len(small)
        common += int(np.isin(small, known.hashes).sum())
    return common, compared


def _anchor_bits(length: int) -> int:
    """Return the sparsity that leaves enough passages to fill a sketch twice."""
    return min(MAX_ANCHOR_BITS, max(0, (length // (2 * _MAX_HASHES)).bit_length() - 1))


def _smallest(every: Iterator[Hashes]) -> Hashes:
    kept: Hashes = np.zeros(0, np.uint64)
    pending, num_pending = [], 0
    largest = np.uint64(np.iinfo(np.uint64).max)
    for hashes in every:
        pending.append(hashes[hashes <= largest])
        num_pending += len(pending[-1])
        if num_pending > _MAX_HASHES:
            kept = _merge(kept, pending)
            largest = Sketch(kept, 0).largest
            pending, num_pending = [], 0
    return _merge(kept, pending)


def _merge(kept: Hashes, new_hashes: list[Hashes]) -> Hashes:
    merged: Hashes = np.unique(np.concatenate([kept, *new_hashes]))[:_MAX_HASHES]
    return merged


def _hashes(ids: Ids, vocabulary: Vocabulary, bits: int) -> Iterator[Hashes]:
    """Yield the hashes of the chosen passages, block by block."""
    unknown = [] if vocabulary.unknown_id is None else [NUM_CODE_POINTS]
    symbols = np.array([*unknown, *vocabulary.symbols], np.uint64)
    for start in range(0, len(ids) - PASSAGE_CHARACTERS + 1, _BLOCK_CHARACTERS):
        block = np.asarray(ids[start : start + _BLOCK_CHARACTERS + PASSAGE_CHARACTERS - 1])
        places = _anchored_positions(block, symbols, bits)
        if unknown:
            places = _exclude_unknown(0, block, places)
        hashes = np.zeros(len(places), np.uint64)
        for offset in range(PASSAGE_CHARACTERS):
            hashes *= _PASSAGE_BASE
            hashes += symbols[block[places + offset]]
        yield _mix(hashes)


def _record_hashes(ids: Ids, vocabulary: Vocabulary, boundary: int) -> Iterator[Hashes]:
    """Yield the hashes of the records without unknown characters, block by block."""
    unknown = [] if vocabulary.unknown_id is None else [NUM_CODE_POINTS]
    symbols = np.array([*unknown, *vocabulary.symbols], np.uint64)
    ends = record_ends(ids, boundary)
    starts = np.append(0, ends[:-1]) + 1
    cuts = np.searchsorted(ends, np.arange(0, len(ids) + _BLOCK_CHARACTERS, _BLOCK_CHARACTERS))
    for first, last in pairwise(np.unique(np.append(cuts, len(ends))).tolist()):
        begin = starts[first]
        block, firsts = np.asarray(ids[begin : ends[last - 1] + 1]), starts[first:last] - begin
        lengths = ends[first:last] + 1 - starts[first:last]
        places = np.arange(len(block)) - np.repeat(firsts, lengths)
        values = _mix(symbols[block] * _PASSAGE_BASE + places.astype(np.uint64))
        hashes = _mix(np.add.reduceat(values, firsts))
        yield hashes[~np.logical_or.reduceat(block == 0, firsts)] if unknown else hashes


def _anchored_positions(
    block: Ids, symbols: UInt64[np.ndarray, " symbols"], bits: int
) -> Int64[np.ndarray, " places"]:
    """Return the start positions of the hashed passages."""
    last = len(block) - PASSAGE_CHARACTERS + 1
    if not bits:
        return np.arange(last)
    anchors, base, width = np.take(symbols.astype(np.uint16), block), _ANCHOR_BASE, 1
    while width < _ANCHOR_CHARACTERS:  # each round hashes twice as many characters
        twice = anchors[:-width] * np.uint16(base)
        twice += anchors[width:]
        anchors, base, width = twice, base * base % (1 << 16), 2 * width
    places: Int64[np.ndarray, " places"] = np.flatnonzero(
        anchors[:last] < np.uint16((1 << 16) >> bits)
    )
    return places


def _exclude_unknown(
    unknown_id: int, block: Ids, places: Int64[np.ndarray, " places"]
) -> Int64[np.ndarray, " known"]:
    """Exclude the passages with an unknown character."""
    is_unknown = block == unknown_id
    if not is_unknown.any():
        return places
    num_before = np.concatenate([[0], np.cumsum(is_unknown)])
    known: Int64[np.ndarray, " known"] = places[
        num_before[places + PASSAGE_CHARACTERS] == num_before[places]
    ]
    return known


def _mix(hashes: Hashes) -> Hashes:
    """Let every bit affect all bits (SplitMix64: Steele, Lea and Flood, 2014)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        hashes = (hashes ^ (hashes >> np.uint64(shift))) * np.uint64(factor)
    hashes ^= hashes >> np.uint64(31)
    return hashes
