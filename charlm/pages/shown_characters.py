"""How pages show single characters: an invisible one by its code."""

import unicodedata

_JOINERS = frozenset("\xad\u061c\u200b\u200c\u200d\u200e\u200f\u2060\ufe0e\ufe0f")
"""Format characters that scripts and emoji need; they affect only their neighbours."""
_TAGS = range(0xE0020, 0xE0080)
"""Characters that spell the region of a flag."""
_RAW_BYTES = range(0xDC80, 0xDD00)
"""Surrogates that stand for bytes that are not UTF-8 (PEP 383)."""


def shown(character: str) -> str:
    """Return a character as the page shows it: the code point of an invisible one."""
    code = ord(character)
    if character == "\n":
        return "↵"
    if code in _RAW_BYTES:
        return f"<0x{code - 0xDC00:02X}>"
    if character in _JOINERS or code in _TAGS or character == "\t":
        return character
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"):
        return f"U+{code:04X}"
    return character
