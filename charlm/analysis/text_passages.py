"""Find the passages that a text repeats, and what its test split shares with its training split."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer

from charlm.analysis.copying import covered, longest_matches
from charlm.analysis.suffix_array import Alphabet, common_lengths, sorted_suffixes

PASSAGE_CHARACTERS = 50
"""Length from which a repeated passage counts."""
_STEP = 16
"""Number of characters from one passage that is looked up to the next."""
_BLOCK = 1 << 14
_MOST_COMPARED = 1000
"""Length up to which repeated passages are compared."""


@dataclass(frozen=True)
class RepeatedPassages:
    """Passages of 50 characters that occur more than once."""

    share: float
    """Estimated fraction of all passages of 50 characters."""
    longest: int
    """Length of the longest one that was found, up to 1,000."""
    example: str


def repeated_passages(symbols: Integer[np.ndarray, " text"], text: str) -> RepeatedPassages:
    """Estimate how much of a text is repeated, from passages that are spread evenly over it."""
    if len(symbols) < 2 * PASSAGE_CHARACTERS:
        return RepeatedPassages(0.0, 0, "")
    alphabet = Alphabet.of(symbols)
    codes = np.full(len(symbols) + 1, alphabet.foreign, alphabet.table.dtype)
    alphabet.encode(symbols, codes[:-1])
    array = sorted_suffixes(codes)
    ranks = np.flatnonzero(array % _STEP == 0)
    starts = array[ranks]
    lengths = np.zeros(len(ranks), np.int64)
    for neighbours in (
        array[np.maximum(ranks - 1, 0)],
        array[np.minimum(ranks + 1, len(codes) - 1)],
    ):
        for start in range(0, len(ranks), _BLOCK):
            block = slice(start, start + _BLOCK)
            found = common_lengths(codes, starts[block], neighbours[block], _MOST_COMPARED)
            found[starts[block] == neighbours[block]] = 0
            lengths[block] = np.maximum(lengths[block], np.minimum(found, _MOST_COMPARED))
    share = float((lengths >= PASSAGE_CHARACTERS).mean())
    best = int(lengths.argmax())
    longest = int(lengths[best])
    example = text[int(starts[best]) :][:longest] if longest >= PASSAGE_CHARACTERS else ""
    return RepeatedPassages(share, longest, example)


def shared_with_training(
    training: Integer[np.ndarray, " training"], test: Integer[np.ndarray, " test"]
) -> float:
    """Return the fraction of the test split in spans of 50 characters of the training split."""
    if not len(test):
        return 0.0
    return float(covered(longest_matches(training, test).lengths, PASSAGE_CHARACTERS).mean())
