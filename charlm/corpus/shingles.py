"""Estimate how much of a text occurs in another one, by hashed passages of 50 characters.

Of a text, a `Sketch` keeps the smallest hashes of its passages (Broder, "On the resemblance and
containment of documents", 1997). Of another text, the passages whose hashes are as small are looked
up in it: the share that is found estimates the share of passages that both texts have. Code points
are hashed, or bytes with `unit: byte`, so that vocabularies do not matter; passages with a
character that the vocabulary does not hold are left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, UInt64

from charlm.corpus.vocabulary import NUM_CODE_POINTS, Ids, Vocabulary

PASSAGE = 50
"""Characters of a passage; shorter passages of one language coincide by chance."""
_MOST_HASHES = 1 << 15
"""In a sketch: 256 KB."""
MOST_ANCHOR_BITS = 8
_ANCHOR = 16
"""Characters at the beginning of a passage that decide whether it is hashed at all."""
_BLOCK = 1 << 19
_LONGEST_TO_REPEAT = 1 << 24
_BASE, _ANCHOR_BASE = np.uint64(0x9E3779B97F4A7C15), 0x6D2B

Hashes = UInt64[np.ndarray, " _"]


@dataclass(frozen=True)
class Sketch:
    """The smallest hashes of a text's passages."""

    hashes: Hashes
    """Ascending, each once."""
    anchor_bits: int
    """One in 2^anchor_bits passages was hashed, chosen by its first characters."""

    @property
    def largest(self) -> np.uint64:
        """The largest hash that would be kept: all are, while there is room."""
        is_full = len(self.hashes) >= _MOST_HASHES
        return self.hashes[-1] if is_full else np.uint64(np.iinfo(np.uint64).max)


def sketch(ids: Ids, vocabulary: Vocabulary) -> Sketch:
    """Return the sketch of a text; memory does not grow with the text."""
    bits = _anchor_bits(len(ids))
    found = _smallest(ids, vocabulary, bits)
    while bits and len(found) < _MOST_HASHES and len(ids) < _LONGEST_TO_REPEAT:
        bits = max(0, bits - 3)  # so repetitive a text has few passages to choose from
        found = _smallest(ids, vocabulary, bits)
    return Sketch(found, bits)


def count_common(of: Sketch, ids: Ids, vocabulary: Vocabulary) -> tuple[int, int]:
    """Return how many passages of a text are in a sketch, and how many were looked up."""
    common = compared = 0
    for hashes in _hashes(ids, vocabulary, of.anchor_bits):
        small = hashes[hashes <= of.largest]
        compared += len(small)
        common += int(np.isin(small, of.hashes).sum())
    return common, compared


def _anchor_bits(length: int) -> int:
    """Return how sparsely to choose passages: a sketch is filled at least twice."""
    return min(MOST_ANCHOR_BITS, max(0, (length // (2 * _MOST_HASHES)).bit_length() - 1))


def _smallest(ids: Ids, vocabulary: Vocabulary, bits: int) -> Hashes:
    kept: Hashes = np.zeros(0, np.uint64)
    waiting, num_waiting = [], 0
    largest = np.uint64(np.iinfo(np.uint64).max)
    for hashes in _hashes(ids, vocabulary, bits):
        waiting.append(hashes[hashes <= largest])
        num_waiting += len(waiting[-1])
        if num_waiting > _MOST_HASHES:
            kept = _merged(kept, waiting)
            largest = Sketch(kept, bits).largest
            waiting, num_waiting = [], 0
    return _merged(kept, waiting)


def _merged(kept: Hashes, others: list[Hashes]) -> Hashes:
    merged: Hashes = np.unique(np.concatenate([kept, *others]))[:_MOST_HASHES]
    return merged


def _hashes(ids: Ids, vocabulary: Vocabulary, bits: int) -> Iterator[Hashes]:
    """Yield the hashes of the chosen passages, block by block."""
    unknown = [] if vocabulary.unknown_id is None else [NUM_CODE_POINTS]
    symbols = np.array([*unknown, *vocabulary.symbols], np.uint64)
    for start in range(0, len(ids) - PASSAGE + 1, _BLOCK):
        block = np.asarray(ids[start : start + _BLOCK + PASSAGE - 1])
        places = _anchored(block, symbols, bits)
        if unknown:
            places = _without(0, block, places)
        hashes = np.zeros(len(places), np.uint64)
        for offset in range(PASSAGE):
            hashes *= _BASE
            hashes += symbols[block[places + offset]]
        yield _mixed(hashes)


def _anchored(
    block: Ids, symbols: UInt64[np.ndarray, " symbols"], bits: int
) -> Int64[np.ndarray, " places"]:
    """Return the start positions of the hashed passages."""
    last = len(block) - PASSAGE + 1
    if not bits:
        return np.arange(last)
    anchors, base, width = np.take(symbols.astype(np.uint16), block), _ANCHOR_BASE, 1
    while width < _ANCHOR:  # of twice as many characters each time
        twice = anchors[:-width] * np.uint16(base)
        twice += anchors[width:]
        anchors, base, width = twice, base * base % (1 << 16), 2 * width
    places: Int64[np.ndarray, " places"] = np.flatnonzero(
        anchors[:last] < np.uint16((1 << 16) >> bits)
    )
    return places


def _without(
    unknown_id: int, block: Ids, places: Int64[np.ndarray, " places"]
) -> Int64[np.ndarray, " known"]:
    """Leave out the passages that hold an unknown character."""
    is_unknown = block == unknown_id
    if not is_unknown.any():
        return places
    before = np.concatenate([[0], np.cumsum(is_unknown)])
    known: Int64[np.ndarray, " known"] = places[before[places + PASSAGE] == before[places]]
    return known


def _mixed(hashes: Hashes) -> Hashes:
    """Spread what differs in any bit over all bits (SplitMix64: Steele and others, 2014)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        hashes = (hashes ^ (hashes >> np.uint64(shift))) * np.uint64(factor)
    hashes ^= hashes >> np.uint64(31)
    return hashes
