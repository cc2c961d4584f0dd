"""The letters of a vocabulary, of which words consist, and what ends lines and fields."""

import numpy as np
from jaxtyping import Int64

from charlm.corpus.vocabulary import Vocabulary

_APOSTROPHES = "'\N{RIGHT SINGLE QUOTATION MARK}"
_NUM_ASCII = 128
_FIELD_ENDS = " \t,;|"
LINE_END, FIELD_END = -1, -2
"""Codes instead of a letter: of the line feed, and of characters that end a field."""


def letters_of(vocabulary: Vocabulary) -> Int64[np.ndarray, " vocabulary"]:
    """Return the letter that each id stands for, the same in upper and lower case; 0 for others.

    Digits and apostrophes are letters, too, and bytes outside ASCII, of which letters consist. The
    line feed gets `LINE_END`, and characters that end a field get `FIELD_END`.
    """
    unknown = [0] if vocabulary.unknown_id is not None else []
    is_byte = vocabulary.unit == "byte"
    return np.array([*unknown, *(_letter(symbol, is_byte) for symbol in vocabulary.symbols)])


def _letter(symbol: int, is_byte: bool) -> int:
    if is_byte and symbol >= _NUM_ASCII:
        return symbol
    character = chr(symbol)
    if character == "\n":
        return LINE_END
    if character in _FIELD_ENDS:
        return FIELD_END
    return ord(character.lower()[0]) if character.isalnum() or character in _APOSTROPHES else 0
