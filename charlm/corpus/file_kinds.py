"""Recognise files that are not text in the expected encoding by their first bytes.

Only bytes that no text contains are evidence: a file that begins like a picture and continues as
readable text is a text. If nothing is recognised, the decoder decides.
"""

import codecs
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

BEGINNING_BYTES = 1 << 16
"""Number of bytes at the beginning of a file that are examined."""
LEAVE_IT_OUT = "leave it out"
"""The remedy for a file that contains no text."""
_FEWEST_BYTES = 16
"""Number of bytes below which only byte order marks and magic numbers are evidence."""


@dataclass(frozen=True)
class Kind:
    """What a file is, and the remedy for its owner."""

    name: str
    remedy: str
    encoding: str | None = None
    """Encoding of a text in UTF-16, UTF-32 or ISO-2022-JP."""
    is_marked: bool = False
    """Whether the text begins with a byte order mark."""


def _document(name: str, command: str) -> Kind:
    return Kind(name, f"convert it to plain text first, such as with `{command}`")


def _archive(name: str, command: str) -> Kind:
    return Kind(name, f"unpack it first, such as with `{command}`")


def _non_text(name: str) -> Kind:
    return Kind(name, LEAVE_IT_OUT)


_PDF = _document("a PDF document", "pdftotext")
_READABLE = (
    (re.compile(rb"%PDF-\d\.\d[ \t]*[\r\n]"), _PDF),
    (re.compile(rb"%!PS-Adobe-\d"), _document("a PostScript document", "ps2ascii")),
    (re.compile(rb"\{\\rtf\d"), _document("an RTF document", "pandoc -t plain")),
)
"""Patterns at the start of documents that may be ASCII throughout; no plain text matches them."""
_WEB_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html)\b", re.IGNORECASE)

_GZIP = Kind("a gzip file", "rename it to end in .gz")
_PICTURE, _AUDIO, _VIDEO = map(_non_text, ("a picture", "an audio file", "a video"))
_PROGRAM, _FONT = _non_text("a compiled program"), _non_text("a font")
_DATABASE = _non_text("a database")
_ARRAYS = _non_text("an array file (NumPy or HDF5)")

_MAGIC_NUMBERS: tuple[tuple[int, bytes, Kind], ...] = (
    (0, b"\x1f\x8b\x08", _GZIP),
    (0, b"\x1f\x9d", _archive("a .Z archive", "uncompress")),
    (0, b"BZh", _archive("a bzip2 file", "bunzip2")),
    (0, b"\xfd7zXZ\x00", _archive("an xz file", "unxz")),
    (0, b"\x28\xb5\x2f\xfd", _archive("a Zstandard file", "unzstd")),
    (0, b"\x04\x22\x4d\x18", _archive("an LZ4 file", "unlz4")),
    (0, b"7z\xbc\xaf\x27\x1c", _archive("a 7-Zip archive", "7z x")),
    (0, b"Rar!\x1a\x07", _archive("a RAR archive", "unrar x")),
    (257, b"ustar", _archive("a tar archive", "tar -xf")),
    (0, b"%PDF-", _PDF),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _document("an old Office document", "soffice")),
    (0, b"AT&TFORM", _document("a DjVu document", "djvutxt")),
    (60, b"BOOKMOBI", _document("a Mobipocket e-book", "ebook-convert")),
    (0, b"\x89PNG", _PICTURE),
    (0, b"\xff\xd8\xff", _PICTURE),
    (0, b"GIF8", _PICTURE),
    (0, b"II*\x00", _PICTURE),
    (0, b"MM\x00*", _PICTURE),
    (0, b"BM", _PICTURE),
    (0, b"8BPS", _PICTURE),
    (0, b"\x00\x00\x01\x00", _PICTURE),
    (8, b"WEBP", _PICTURE),
    (4, b"ftypavif", _PICTURE),
    (4, b"ftyphei", _PICTURE),
    (8, b"WAVE", _AUDIO),
    (0, b"ID3", _AUDIO),
    (0, b"\xff\xfb", _AUDIO),
    (0, b"fLaC", _AUDIO),
    (0, b"OggS", _AUDIO),
    (4, b"ftypM4A", _AUDIO),
    (4, b"ftyp", _VIDEO),
    (8, b"AVI ", _VIDEO),
    (0, b"\x1aE\xdf\xa3", _VIDEO),
    (0, b"\x7fELF", _PROGRAM),
    (0, b"MZ", _PROGRAM),
    (0, b"\xcf\xfa\xed\xfe", _PROGRAM),
    (0, b"\xca\xfe\xba\xbe", _PROGRAM),
    (0, b"\x00asm", _PROGRAM),
    (0, b"!<arch>\n", _PROGRAM),
    (0, b"\x00\x01\x00\x00\x00", _FONT),
    (0, b"OTTO", _FONT),
    (0, b"wOF", _FONT),
    (0, b"SQLite format 3\x00", _DATABASE),
    (0, b"PAR1", _DATABASE),
    (8, b'{"', _non_text("a safetensors file, such as a checkpoint")),
    (0, b"\x80\x02", _non_text("a pickle")),
    (0, b"\x80\x04\x95", _non_text("a pickle")),
    (0, b"\x93NUMPY", _ARRAYS),
    (0, b"\x89HDF\r\n", _ARRAYS),
)

_IN_ZIP = (
    (b"word/", _document("a Word document", "pandoc -t plain")),
    (b"xl/", _document("an Excel document", "soffice --convert-to csv")),
    (b"ppt/", _document("a PowerPoint document", "soffice --convert-to pdf")),
    (b"application/epub+zip", _document("an EPUB e-book", "pandoc -t plain")),
    (b"application/vnd.oasis", _document("an OpenDocument document", "pandoc -t plain")),
    (b"PK", _archive("a zip archive", "unzip")),
)

_NON_TEXT_BYTES = bytes([*range(0x07), *range(0x10, 0x1A)])
"""Control characters that no text contains.

White space, terminal controls, record separators and the shifts of ISO 2022 are not among them.
"""
_FEWEST_CONTROL_KINDS = 8
"""Number of different control characters in data; text with odd separators has fewer."""
_MOST_CONTROL_FRACTION = 0.02
"""Largest fraction of control characters in text with odd separators."""

_HIGHER_BYTES = bytes(range(0x09))
"""Higher bytes of UTF-16 characters below U+0900."""
_WIDE = re.compile(rb"(?:[^\x00-\x08][\x00-\x08]){16}|(?:[\x00-\x08][^\x00-\x08]){16}", re.DOTALL)
"""Sixteen UTF-16 characters of the alphabets below U+0900, in either byte order."""

_ISO_2022_JP = Kind(
    "ISO-2022-JP text", "read it with --set corpus.encoding=iso2022_jp", "iso2022_jp"
)

_BYTE_ORDER_MARKS = (  # longer first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def kind_of(beginning: bytes) -> Kind | None:
    """Return the kind of a file with these first bytes; None for text and unknown kinds."""
    beginning = beginning[:BEGINNING_BYTES]
    if marked := _by_byte_order_mark(beginning):
        return marked
    if readable := next((kind for form, kind in _READABLE if form.match(beginning)), None):
        return readable
    if _is_iso_2022_jp(beginning):
        return _ISO_2022_JP
    wide = _WIDE.search(beginning)
    start = beginning[: wide.start()] if wide and wide.start() >= _FEWEST_BYTES else beginning
    if _is_utf_8(start) and not _has_controls(start):  # `utf16_offset` finds what follows
        return None
    return _by_magic_number(beginning) or _wide(beginning) or _data(beginning)


def mismatch(beginning: bytes, encoding: str) -> Kind | None:
    """Return the kind of a file with these first bytes, unless `encoding` may be right for it."""
    kind = kind_of(beginning)
    if kind is None or kind.encoding is None:
        is_possible = kind in (_ZEROS, _DATA) and not _contains_ascii(encoding)
        return None if is_possible else kind
    if kind is _ISO_2022_JP:
        return None if encoding.startswith("iso2022_jp") else kind
    family = kind.encoding[: len("utf-16")]
    fits = encoding == kind.encoding or (kind.is_marked and encoding == family)
    return None if fits else kind


def is_web_page(beginning: bytes) -> bool:
    """Return whether a file with these first bytes is HTML."""
    return _WEB_PAGE.match(beginning) is not None


def utf16_offset(block: bytes, encoding: str) -> int | None:
    """Return where UTF-16 begins in a block of text in another encoding; None if nowhere.

    `>>` of PowerShell appends UTF-16 to a text in UTF-8, which stays valid UTF-8 with zero bytes.
    """
    if len(block.translate(None, _HIGHER_BYTES)) == len(block) or not _contains_ascii(encoding):
        return None
    found = _WIDE.search(block)
    return found.start() if found else None


def _contains_ascii(encoding: str) -> bool:
    """Return whether bytes below 128 are ASCII characters in an encoding."""
    sample = "Az 09\n"
    try:
        return sample.encode(encoding) == sample.encode("ascii")
    except UnicodeError:
        return False


def _is_iso_2022_jp(beginning: bytes) -> bool:
    """Return whether bytes switch to Japanese characters; all of them are below 0x80."""
    if not beginning.isascii() or not re.search(rb"\x1b\$[@B]", beginning):
        return False
    try:
        codecs.getincrementaldecoder("iso2022_jp")().decode(beginning)
    except UnicodeDecodeError:
        return False
    return True


def _by_byte_order_mark(beginning: bytes) -> Kind | None:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if not beginning.startswith(mark):
            continue
        # The mark of UTF-32 may also be the mark of UTF-16 and a zero character.
        if len(mark) == 4 and len(_sensible(beginning, encoding) or "") < _FEWEST_BYTES // len(
            mark
        ):
            continue
        family = encoding[: len("utf-16")]
        return Kind(
            f"{family.upper()} text, according to its byte order mark at byte 0",
            f"set corpus.encoding to {family} (--set corpus.encoding={family})",
            encoding,
            is_marked=True,
        )
    return None


def _by_magic_number(beginning: bytes) -> Kind | None:
    has_controls = _has_controls(beginning)
    if beginning.startswith(b"PK\x03\x04"):
        return next(kind for name, kind in _IN_ZIP if name in beginning)
    for place, number, kind in _MAGIC_NUMBERS:
        is_proof = has_controls or (len(number) >= 4 and not place)
        if is_proof and beginning.startswith(number, place):
            return kind
    return None


def _has_controls(beginning: bytes) -> bool:
    return len(beginning.translate(None, _NON_TEXT_BYTES)) < len(beginning)


def _is_utf_8(beginning: bytes) -> bool:
    """Return whether bytes are UTF-8; the last character may be cut off."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(beginning)
    except UnicodeDecodeError:
        return False
    return True


def _wide(beginning: bytes) -> Kind | None:
    """Recognise UTF-16 and UTF-32 without a mark, by zeros and by plausible decoded text."""
    if len(beginning) < _FEWEST_BYTES or b"\x00" not in beginning:
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
    width = 4 if encoding.startswith("utf-32") else 2
    whole = beginning[: len(beginning) // width * width]
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(whole)
    except UnicodeDecodeError:
        return None
    odd = sum(count for character, count in Counter(text).items() if _is_odd(character))
    return None if odd > _MOST_CONTROL_FRACTION * len(text) else text


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
    return low >= 0.8 * len(higher) or (spaces >= 12 and not _is_utf_8(beginning))


_ZEROS = Kind("data with many zero bytes", "leave it out, or check that the file is whole")
_DATA = Kind("data", "convert it to text, train on bytes (--set corpus.unit=byte), or leave it out")
_MOST_ZERO_FRACTION = 0.3
"""Fraction of zero bytes above which a file is data."""


def _data(beginning: bytes) -> Kind | None:
    """Recognise data that is text in no encoding, even if its kind is unknown."""
    if len(beginning) < _FEWEST_BYTES:
        return None
    if beginning.count(b"\x00") > _MOST_ZERO_FRACTION * len(beginning):
        return _ZEROS
    counts = Counter(beginning)
    odd = [counts[byte] for byte in _NON_TEXT_BYTES if counts[byte]]
    is_data = len(odd) >= _FEWEST_CONTROL_KINDS and sum(odd) > _MOST_CONTROL_FRACTION * len(
        beginning
    )
    return _DATA if is_data and not _is_utf_8(beginning) else None
