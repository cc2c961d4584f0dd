"""Replace control characters of foreign text for a terminal; a pipe receives it unchanged."""

import codecs
import unicodedata
from typing import TextIO

_PICTURES = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"} | {
    0x7F: "\N{SYMBOL FOR DELETE}",
    **dict.fromkeys(range(0x80, 0xA0), "\N{REPLACEMENT CHARACTER}"),
}
_PRINTED = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2")
"""Format characters that are seen: signs around Arabic and Syriac numbers."""
_MARKS_OF_WRITING = _PRINTED | frozenset("\xad\u061c\u200b\u200c\u200d\u200e\u200f\u2060")
"""Marks that Arabic, Hebrew, Persian, Thai, Indic scripts and emoji are written with.

They act on their neighbours alone. Embeddings, overrides and isolates are not among them: a model
that does not close one would reorder all that follows on the line.
"""
RAW_BYTES = "charlm-raw-bytes"
"""Error handler for encoding: bytes of names that are not UTF-8 come back, all else is `?`."""


class _Shown(dict[int, str]):
    """What a terminal is given for each character, found out when it is first met."""

    def __init__(self, kept: frozenset[str]) -> None:
        super().__init__(_PICTURES)
        self._kept = kept

    def __missing__(self, code: int) -> str:
        character = chr(code)
        hides = unicodedata.category(character) in ("Cf", "Zl", "Zp", "Cs")
        shown = character
        if 0xDC80 <= code <= 0xDCFF:  # a byte of a name that is not UTF-8 (PEP 383)
            shown = f"<0x{code - 0xDC00:02X}>"
        elif hides and character not in self._kept:
            shown = f"<U+{code:04X}>"
        self[code] = shown
        return shown


_IN_MESSAGES, _IN_GENERATED_TEXT = _Shown(_PRINTED), _Shown(_MARKS_OF_WRITING)


def for_terminal(text: str, stream: TextIO) -> str:
    """Return a message, including names in it, in the form for `stream`.

    A terminal obeys control characters, so it gets a picture in the place of each but newline and
    tab; it reorders text around, or hides, format characters, so it gets their number. A file or a
    pipe gets the unchanged text.
    """
    return text.translate(_IN_MESSAGES) if stream.isatty() else text


def generated_for_terminal(text: str, stream: TextIO) -> str:
    """Return generated text in the form for `stream`, with the marks that scripts need."""
    return text.translate(_IN_GENERATED_TEXT) if stream.isatty() else text


def _raw_bytes(error: UnicodeError) -> tuple[bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    codes = map(ord, error.object[error.start : error.end])
    data = bytes(code - 0xDC00 if 0xDC80 <= code <= 0xDCFF else ord("?") for code in codes)
    return data, error.end


codecs.register_error(RAW_BYTES, _raw_bytes)
