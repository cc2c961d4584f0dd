"""Replace the control characters of a text for a terminal; a pipe receives it unchanged."""

import codecs
import unicodedata
from typing import TextIO

_PICTURES = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"} | {
    0x7F: "\N{SYMBOL FOR DELETE}",
    **dict.fromkeys(range(0x80, 0xA0), "\N{REPLACEMENT CHARACTER}"),
}
_VISIBLE_FORMAT_CHARACTERS = frozenset(
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2"
)
"""Format characters with a visible form: signs around Arabic and Syriac numbers."""
_SCRIPT_MARKS = _VISIBLE_FORMAT_CHARACTERS | frozenset(
    "\xad\u061c\u200b\u200c\u200d\u200e\u200f\u2060"
)
"""Format characters needed to write Arabic, Hebrew, Persian, Thai, Indic scripts and emoji.

They affect only their neighbours. Embeddings, overrides and isolates are excluded: one that a
model leaves open would reorder the rest of the line.
"""
RAW_BYTES = "charlm-raw-bytes"
"""Encoding error handler: restores the bytes of names that are not UTF-8, writes `?` for others."""


class _Replacements(dict[int, str]):
    """Maps each character to its form on a terminal, which it computes at the first use."""

    def __init__(self, exceptions: frozenset[str]) -> None:
        super().__init__(_PICTURES)
        self._exceptions = exceptions

    def __missing__(self, code: int) -> str:
        character = chr(code)
        is_hidden = unicodedata.category(character) in ("Cf", "Zl", "Zp", "Cs")
        shown = character
        if 0xDC80 <= code <= 0xDCFF:  # a byte of a name that is not UTF-8 (PEP 383)
            shown = f"<0x{code - 0xDC00:02X}>"
        elif is_hidden and character not in self._exceptions:
            shown = f"<U+{code:04X}>"
        self[code] = shown
        return shown


_MESSAGE_REPLACEMENTS = _Replacements(_VISIBLE_FORMAT_CHARACTERS)
_GENERATED_TEXT_REPLACEMENTS = _Replacements(_SCRIPT_MARKS)


def for_terminal(text: str, stream: TextIO) -> str:
    """Return a message, including the names that it quotes, in the form for `stream`.

    A terminal obeys control characters, so it gets a picture of each, except newline and tab. It
    hides format characters or reorders text around them, so it gets their code point. A file or
    a pipe gets the text unchanged.
    """
    return text.translate(_MESSAGE_REPLACEMENTS) if stream.isatty() else text


def generated_for_terminal(text: str, stream: TextIO) -> str:
    """Return generated text in the form for `stream`, with the marks that scripts need."""
    return visible(text) if stream.isatty() else text


def visible(text: str) -> str:
    """Return a text without control characters, and with the marks that scripts need."""
    return text.translate(_GENERATED_TEXT_REPLACEMENTS)


def _raw_bytes(error: UnicodeError) -> tuple[bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    codes = map(ord, error.object[error.start : error.end])
    data = bytes(code - 0xDC00 if 0xDC80 <= code <= 0xDCFF else ord("?") for code in codes)
    return data, error.end


codecs.register_error(RAW_BYTES, _raw_bytes)
