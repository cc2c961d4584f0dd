"""Normalise a text that arrives in pieces to a Unicode normal form (Standard Annex #15)."""

import sys
import unicodedata
from collections.abc import Iterator
from functools import cache

from charlm.errors import CorpusError

_MOST_HELD = 1 << 20
"""Characters that may all join one another, before they are taken for no text."""
_MOST_MARKS = 1000
"""Marks upon one character: they are sorted, in a time that grows with their square."""
_HANGUL_ENDS = (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))
"""Vowels and final consonants, which join by arithmetic and not by a table."""


def normalised(texts: Iterator[str], form: str, where: object) -> Iterator[str]:
    """Normalise a stream of pieces; hold back characters that a later character may join.

    Raises `CorpusError`, which names `where` the text is from, if too many characters would have to
    be held back or sorted.
    """
    held = ""
    for text in texts:
        held += text
        if _has_too_many_marks(held):
            raise CorpusError(
                f"{where}: {_MOST_MARKS:,} marks and more upon one character; check the text, or "
                "leave out corpus.normal_form"
            )
        cut = next((i for i in range(len(held) - 1, 0, -1) if joins_none_before(held[i])), 0)
        if len(held) - cut > _MOST_HELD:
            raise CorpusError(
                f"{where}: more than {_MOST_HELD:,} characters that all join the one before; check "
                "the file, or leave out corpus.normal_form"
            )
        yield unicodedata.normalize(form, held[:cut])  # type: ignore[arg-type] # one of the four
        held = held[cut:]
    yield unicodedata.normalize(form, held)  # type: ignore[arg-type]


def joins_none_before(character: str) -> bool:
    """Return whether a text may be cut before this character and normalised in two pieces.

    It may if the first code point of the character's decomposition is never reordered or joined.
    """
    return not _is_mark(character) and _first_part(character) not in _joined_to_others()


def _has_too_many_marks(text: str) -> bool:
    """Find 2,000 marks in a row for certain, and look at few characters of ordinary text."""
    starts = range(0, len(text) - _MOST_MARKS + 1, _MOST_MARKS)
    return any(all(map(_is_mark, text[start : start + _MOST_MARKS])) for start in starts)


def _is_mark(character: str) -> bool:
    return unicodedata.combining(_first_part(character)) != 0


def _first_part(character: str) -> str:
    return unicodedata.normalize("NFKD", character)[0]


@cache
def _joined_to_others() -> frozenset[str]:
    """Return the second characters of all pairs that normal forms compose."""
    parts = (unicodedata.decomposition(chr(code)).split() for code in range(sys.maxunicode + 1))
    pairs = (pair for pair in parts if len(pair) == 2 and pair[0][0] != "<")
    return frozenset(chr(int(second, 16)) for _, second in pairs) | set(map(chr, _HANGUL_ENDS))
