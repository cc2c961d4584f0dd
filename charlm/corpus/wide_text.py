"""Recognise texts in UTF-16, UTF-32 and ISO-2022-JP, even where another encoding is expected."""

import codecs
import re
import unicodedata
from collections import Counter

from charlm.corpus.file_formats import Kind

MIN_EVIDENCE_BYTES = 16
"""Number of bytes below which only byte order marks and magic numbers are evidence."""
_MAX_ODD_FRACTION = 0.02
"""Largest fraction, in a text, of characters that texts rarely contain."""
_HIGHER_BYTES = bytes(range(0x09))
"""Higher bytes of UTF-16 characters below U+0900."""
WIDE = re.compile(rb"(?:[^\x00-\x08][\x00-\x08]){16}|(?:[\x00-\x08][^\x00-\x08]){16}", re.DOTALL)
"""Sixteen UTF-16 characters of the alphabets below U+0900, in either byte order."""
ISO_2022_JP = Kind(
    "ISO-2022-JP text", "read it with --set corpus.encoding=iso2022_jp", "iso2022_jp"
)
_BYTE_ORDER_MARKS = (  # longer first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def utf16_offset(block: bytes, encoding: str) -> int | None:
    """Return where UTF-16 begins in a block of text in another encoding; None if nowhere.

    `>>` of PowerShell appends UTF-16 to a text in UTF-8, which stays valid UTF-8 with zero bytes.
    """
    if len(block.translate(None, _HIGHER_BYTES)) == len(block) or not contains_ascii(encoding):
        return None
    found = WIDE.search(block)
    return found.start() if found else None


def contains_ascii(encoding: str) -> bool:
    """Return whether bytes below 128 are ASCII characters in an encoding."""
    sample = "Az 09\n"
    try:
        return sample.encode(encoding) == sample.encode("ascii")
    except UnicodeError:
        return False


def is_utf_8(beginning: bytes) -> bool:
    """Return whether bytes are UTF-8; the last character may be cut off."""
    return _decoded(beginning, "utf-8") is not None


def is_iso_2022_jp(beginning: bytes) -> bool:
    """Return whether bytes switch to Japanese characters; all of them are below 0x80."""
    is_switched = beginning.isascii() and re.search(rb"\x1b\$[@B]", beginning)
    return bool(is_switched) and _decoded(beginning, "iso2022_jp") is not None


def _decoded(beginning: bytes, encoding: str) -> str | None:
    """Decode bytes, of which the last character may be cut off; None if that fails."""
    try:
        return codecs.getincrementaldecoder(encoding)().decode(beginning)
    except UnicodeDecodeError:
        return None


def marked_kind(beginning: bytes) -> Kind | None:
    """Recognise UTF-16 and UTF-32 by a byte order mark."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if not beginning.startswith(mark):
            continue
        # The mark of UTF-32 may also be the mark of UTF-16 and a zero character.
        num_sensible = len(_sensible(beginning, encoding) or "")
        if len(mark) == 4 and num_sensible < MIN_EVIDENCE_BYTES // len(mark):
            continue
        family = encoding[: len("utf-16")]
        return Kind(
            f"{family.upper()} text, according to its byte order mark at byte 0",
            f"set corpus.encoding to {family} (--set corpus.encoding={family})",
            encoding,
            is_marked=True,
        )
    return None


def unmarked_kind(beginning: bytes) -> Kind | None:
    """Recognise UTF-16 and UTF-32 without a mark, by zeros and by plausible decoded text."""
    if len(beginning) < MIN_EVIDENCE_BYTES or b"\x00" not in beginning:
        return None
    spaces = {encoding: _spaces_in(beginning, encoding) for _, encoding in _BYTE_ORDER_MARKS}
    encoding = max(spaces, key=lambda name: spaces[name])
    other_spaces = sum(spaces.values()) - spaces[encoding]
    if spaces[encoding] <= 10 * other_spaces:
        return None
    if encoding.startswith("utf-16") and not _is_wide(beginning, encoding, spaces[encoding]):
        return None
    return Kind(
        f"{encoding[:6].upper()} text without a byte order mark",
        f"read it with --set corpus.encoding={encoding}",
        encoding,
    )


def _spaces_in(beginning: bytes, encoding: str) -> int:
    """Count line ends and spaces of a text in an encoding; 0 if it is not valid in it."""
    text = _sensible(beginning, encoding)
    return 0 if text is None else sum(map(text.count, "\n\r\t "))


def _sensible(beginning: bytes, encoding: str) -> str | None:
    """Decode bytes; return None if it fails or gives characters that texts rarely contain."""
    text = _decoded(beginning, encoding)
    if text is None:
        return None
    odd = sum(count for character, count in Counter(text).items() if _is_odd(character))
    return None if odd > _MAX_ODD_FRACTION * len(text) else text


def _is_odd(character: str) -> bool:
    is_control = unicodedata.category(character) in ("Cc", "Cn", "Co", "Cs")
    return is_control and character not in "\t\n\v\f\r\x1b\x85"


def _is_wide(beginning: bytes, encoding: str, spaces: int) -> bool:
    """Return whether bytes that decode as UTF-16 cannot be text in an encoding of single bytes.

    The higher bytes of most alphabets are below 0x20. Chinese, Japanese and Korean text has others,
    but it is not valid UTF-8, and it has spaces and line ends.
    """
    higher = beginning[int(encoding == "utf-16-le") :: 2]
    low = sum(byte < 0x20 for byte in higher)
    return low >= 0.8 * len(higher) or (spaces >= 12 and not is_utf_8(beginning))
