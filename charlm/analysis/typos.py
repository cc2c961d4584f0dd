"""Find the words of a text that are likely typos, and what a model expected instead."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from charlm.analysis.analysed_text import AnalysedText

_WORD = re.compile(r"(?<!\w)[^\W\d_]+(?:['’][^\W\d_]+)*(?!\w)")
"""A word of letters; beside a digit, it is a fragment."""
_LEAST_EXPECTED = 0.05
"""Probability from which another alternative of a typo is shown."""
_MOST_EXPECTED = 3


@dataclass(frozen=True)
class SurprisingWord:
    """A word that is perhaps a typo, at the place where it surprises least."""

    word: str
    line: int
    column: int
    """Column of its first character, from 1 on."""
    bits: float
    """How much likelier the expected character was: log₂ of the ratio of the probabilities."""
    occurrences: int
    expected: tuple[tuple[str, float], ...]
    """What was expected, up to the character in question, with the probability of that."""

    def to_json(self) -> dict[str, Any]:
        return {
            "word": self.word,
            "line": self.line,
            "column": self.column,
            "bits": round(self.bits, 4),
            "occurrences": self.occurrences,
            "expected": [[text, round(share, 4)] for text, share in self.expected],
        }


class _Candidate(NamedTuple):
    """The occurrence of a word that surprises least."""

    bits: float
    place: int
    """The character in question."""
    match: re.Match[str]


def alternatives_at(
    text: AnalysedText, symbols: Sequence[str], place: int
) -> list[tuple[str, float]]:
    """Return the likeliest characters at a place, with their probabilities."""
    ids, shares = text.likeliest[place].tolist(), text.probabilities[place].tolist()
    return [(symbols[one], share) for one, share in zip(ids, shares, strict=True) if share > 0]


def surprising_words(
    text: AnalysedText, symbols: Sequence[str], number: int
) -> list[SurprisingWord]:
    """Return the likeliest typos: each word once, however often and in whatever case it occurs.

    A word is judged by its most surprising character, relative to the likeliest one there. The
    character after the word counts, as the word may lack its end; its first one does not. A word
    that the model expects somewhere is hardly a typo, and nor is one that occurs often: the
    occurrence with the fewest bits counts, less log₂ of the number of occurrences.
    """
    odds, is_unknown = _odds(text), text.is_unknown
    counts: dict[str, int] = {}
    least: dict[str, _Candidate] = {}
    for match in _WORD.finditer(text.text):
        if is_unknown[match.start() : match.end()].any():
            continue  # a letter that the model has never seen is no typo
        second, end = match.start() + 1, match.end()
        place = second + int(odds[second : end + 1].argmax())
        bits, word = float(odds[place]), match[0].casefold()
        counts[word] = counts.get(word, 0) + 1
        if word not in least or bits < least[word].bits:
            least[word] = _Candidate(bits, place, match)
    ranked = sorted(least, key=lambda word: math.log2(counts[word]) - least[word].bits)
    chosen = [word for word in ranked if least[word].bits > 0][: max(0, number)]
    return [_described(text, symbols, least[word], counts[word]) for word in chosen]


def _odds(text: AnalysedText) -> Float64[np.ndarray, " places"]:
    """Return log₂ of how much likelier the likeliest character is; 0 after the end."""
    highest = text.probabilities[:, 0].astype(np.float64)
    odds = np.append(text.bits + np.log2(np.maximum(highest, 1e-38)), 0.0)
    odds[0] = 0.0
    return odds


def _described(
    text: AnalysedText, symbols: Sequence[str], candidate: _Candidate, occurrences: int
) -> SurprisingWord:
    bits, place, match = candidate
    before = match.string[match.start() : place]
    first, *others = alternatives_at(text, symbols, place)
    likely = [first, *(one for one in others if one[1] >= _LEAST_EXPECTED)]
    expected = tuple((before + symbol, share) for symbol, share in likely[:_MOST_EXPECTED])
    line, column = text.line_and_column(match.start())
    return SurprisingWord(match[0], line, column, bits, occurrences, expected)
