"""Normalise a text that arrives in pieces to a Unicode normal form (Standard Annex #15)."""

import sys
import unicodedata
from collections.abc import Iterator
from functools import cache

from charlm.errors import CorpusError

_MAX_HELD_CHARACTERS = 1 << 20
"""Number of characters in a row that may each compose with the one before; no text has as many."""
_MAX_MARKS = 1000
"""Number of marks on one character; the time to sort them grows with its square."""
_HANGUL_VOWELS_AND_ENDS = (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))
"""Vowels and final consonants, which compose by arithmetic instead of a table."""


def normalised(texts: Iterator[str], form: str, source: object) -> Iterator[str]:
    """Normalise a stream of pieces; hold back characters that may compose with later ones.

    Raises `CorpusError`, which names the `source`, if too many characters would have to be held
    back or sorted.
    """
    pending = ""
    for text in texts:
        pending += text
        if _has_too_many_marks(pending):
            raise CorpusError(
                f"{source}: {_MAX_MARKS:,} marks or more on one character; check the text, or set "
                "corpus.normal_form to none"
            )
        cut = next((i for i in range(len(pending) - 1, 0, -1) if is_boundary(pending[i])), 0)
        if len(pending) - cut > _MAX_HELD_CHARACTERS:
            raise CorpusError(
                f"{source}: more than {_MAX_HELD_CHARACTERS:,} characters in a row that each "
                "compose with the one before; check the text, or set corpus.normal_form to none"
            )
        yield unicodedata.normalize(form, pending[:cut])  # type: ignore[arg-type] # one of the four
        pending = pending[cut:]
    yield unicodedata.normalize(form, pending)  # type: ignore[arg-type]


def is_boundary(character: str) -> bool:
    """Return whether a text may be cut before this character and normalised in two pieces.

    It may if the first code point of the character's decomposition is never reordered, and never
    composes with a character before it.
    """
    return not _is_mark(character) and _first_code_point(character) not in _second_characters()


def _has_too_many_marks(text: str) -> bool:
    """Return whether an aligned block is all marks, as 2,000 marks in a row always contain one.

    It looks at one character of each block of ordinary text.
    """
    starts = range(0, len(text) - _MAX_MARKS + 1, _MAX_MARKS)
    return any(all(map(_is_mark, text[start : start + _MAX_MARKS])) for start in starts)


def _is_mark(character: str) -> bool:
    return unicodedata.combining(_first_code_point(character)) != 0


def _first_code_point(character: str) -> str:
    return unicodedata.normalize("NFKD", character)[0]


@cache
def _second_characters() -> frozenset[str]:
    """Return the second characters of all pairs that normal forms compose."""
    decompositions = (
        unicodedata.decomposition(chr(code)).split() for code in range(sys.maxunicode + 1)
    )
    pairs = (pair for pair in decompositions if len(pair) == 2 and pair[0][0] != "<")
    return frozenset(chr(int(second, 16)) for _, second in pairs) | set(
        map(chr, _HANGUL_VOWELS_AND_ENDS)
    )
