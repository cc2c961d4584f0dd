"""Recognise files that are not text in the expected encoding by their first bytes.

Only bytes that no text contains are evidence: a file that begins like a picture and continues as
readable text is a text. If nothing is recognised, the decoder decides.
"""

from collections import Counter

from charlm.corpus.file_formats import (
    LEAVE_IT_OUT,
    NON_TEXT_BYTES,
    Kind,
    contains_controls,
    kind_by_magic_number,
    readable_document,
)
from charlm.corpus.wide_text import (
    ISO_2022_JP,
    MIN_EVIDENCE_BYTES,
    WIDE,
    contains_ascii,
    is_iso_2022_jp,
    is_utf_8,
    marked_kind,
    unmarked_kind,
)

BEGINNING_BYTES = 1 << 16
"""Number of bytes at the beginning of a file that are examined."""
_ZEROS = Kind("data with many zero bytes", f"{LEAVE_IT_OUT}, or check that the file is whole")
_MAX_ZERO_FRACTION = 0.3
"""Fraction of zero bytes above which a file is data."""
_DATA = Kind(
    "data",
    "convert it to text, train on bytes (`charlm train … --set corpus.unit=byte`), or "
    f"{LEAVE_IT_OUT}",
)
_MIN_CONTROL_KINDS = 8
"""Number of different control characters in data; text with odd separators has fewer."""
_MAX_CONTROL_FRACTION = 0.02
"""Largest fraction of control characters in text with odd separators."""


def kind_of(beginning: bytes) -> Kind | None:
    """Return the kind of a file with these first bytes; None for text and unknown kinds."""
    beginning = beginning[:BEGINNING_BYTES]
    if kind := marked_kind(beginning) or readable_document(beginning):
        return kind
    if is_iso_2022_jp(beginning):
        return ISO_2022_JP
    wide = WIDE.search(beginning)
    start = beginning[: wide.start()] if wide and wide.start() >= MIN_EVIDENCE_BYTES else beginning
    if is_utf_8(start) and not contains_controls(start):  # `utf16_offset` finds later UTF-16
        return None
    return kind_by_magic_number(beginning) or unmarked_kind(beginning) or _data(beginning)


def mismatch(beginning: bytes, encoding: str) -> Kind | None:
    """Return the kind of a file with these first bytes, unless `encoding` may be right for it."""
    kind = kind_of(beginning)
    if kind is None or kind.encoding is None:
        may_be_data = kind in (_ZEROS, _DATA) and not contains_ascii(encoding)
        return None if may_be_data or _is_utf_32(beginning, encoding) else kind
    if kind is ISO_2022_JP:
        return None if encoding.startswith("iso2022_jp") else kind
    family = kind.encoding[: len("utf-16")]
    fits = encoding == kind.encoding or (kind.is_marked and encoding == family)
    return None if fits else kind


def _is_utf_32(beginning: bytes, encoding: str) -> bool:
    """Return whether bytes are text in the expected kind of UTF-32; other data hardly ever is."""
    if not encoding.startswith("utf-32"):
        return False
    try:
        beginning[: len(beginning) // 4 * 4].decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _data(beginning: bytes) -> Kind | None:
    """Recognise data that is text in no encoding, even if its kind is unknown."""
    if len(beginning) < MIN_EVIDENCE_BYTES:
        return None
    if beginning.count(b"\x00") > _MAX_ZERO_FRACTION * len(beginning):
        return _ZEROS
    counts = Counter(beginning)
    odd = [counts[byte] for byte in NON_TEXT_BYTES if counts[byte]]
    if len(odd) < _MIN_CONTROL_KINDS or sum(odd) <= _MAX_CONTROL_FRACTION * len(beginning):
        return None
    return None if is_utf_8(beginning) else _DATA
