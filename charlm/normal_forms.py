"""Unicode's normal forms of a text that comes in pieces (Unicode Standard Annex #15)."""

import sys
import unicodedata
from collections.abc import Iterator
from functools import cache

from charlm.errors import CorpusError

_MOST_HELD = 1 << 20
"""Characters that may all join one another, before they are taken for no text."""
_HANGUL_ENDS = (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))
"""Vowels and final consonants, which join by arithmetic and not by a table."""


def normalised(texts: Iterator[str], form: str, where: object) -> Iterator[str]:
    """Normalise a stream: hold back what a following character may still join.

    Raises `CorpusError`, which says `where` the text is from, for a text that would have to be
    held whole.
    """
    held = ""
    for text in texts:
        held += text
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
    """Return whether a text may be cut in front of a character, and normalised in two pieces.

    It may where what the character begins with, taken apart, is neither moved nor joined.
    """
    first = unicodedata.normalize("NFKD", character)[0]
    return unicodedata.combining(first) == 0 and first not in _joined_to_others()


@cache
def _joined_to_others() -> frozenset[str]:
    """Return the second characters of all pairs that normal forms write as one."""
    parts = (unicodedata.decomposition(chr(code)).split() for code in range(sys.maxunicode + 1))
    pairs = (pair for pair in parts if len(pair) == 2 and pair[0][0] != "<")
    return frozenset(chr(int(second, 16)) for _, second in pairs) | set(map(chr, _HANGUL_ENDS))
