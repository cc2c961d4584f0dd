"""Recognise files that are not text by their magic numbers."""

import re
from dataclasses import dataclass

LEAVE_IT_OUT = "leave it out"
"""Remedy for a file that contains no text."""


@dataclass(frozen=True)
class Kind:
    """A kind of file, and the remedy for its owner."""

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

_PICTURE, _AUDIO, _VIDEO = map(_non_text, ("a picture", "an audio file", "a video"))
_MAGIC_NUMBERS: tuple[tuple[Kind, int, tuple[bytes, ...]], ...] = (
    (Kind("a gzip file", "rename it to end in .gz"), 0, (b"\x1f\x8b\x08",)),
    (_archive("a .Z archive", "uncompress"), 0, (b"\x1f\x9d",)),
    (_archive("a bzip2 file", "bunzip2"), 0, (b"BZh",)),
    (_archive("an xz file", "unxz"), 0, (b"\xfd7zXZ\x00",)),
    (_archive("a Zstandard file", "unzstd"), 0, (b"\x28\xb5\x2f\xfd",)),
    (_archive("an LZ4 file", "unlz4"), 0, (b"\x04\x22\x4d\x18",)),
    (_archive("a 7-Zip archive", "7z x"), 0, (b"7z\xbc\xaf\x27\x1c",)),
    (_archive("a RAR archive", "unrar x"), 0, (b"Rar!\x1a\x07",)),
    (_archive("a tar archive", "tar -xf"), 257, (b"ustar",)),
    (_PDF, 0, (b"%PDF-",)),
    (_document("an old Office document", "soffice"), 0, (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",)),
    (_document("a DjVu document", "djvutxt"), 0, (b"AT&TFORM",)),
    (_document("a Mobipocket e-book", "ebook-convert"), 60, (b"BOOKMOBI",)),
    (_PICTURE, 0, (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\x00", b"MM\x00*", b"BM", b"8BPS")),
    (_PICTURE, 0, (b"\x00\x00\x01\x00",)),
    (_PICTURE, 8, (b"WEBP",)),
    (_PICTURE, 4, (b"ftypavif", b"ftyphei")),
    (_AUDIO, 8, (b"WAVE",)),
    (_AUDIO, 0, (b"ID3", b"\xff\xfb", b"fLaC", b"OggS")),
    (_AUDIO, 4, (b"ftypM4A",)),
    (_VIDEO, 4, (b"ftyp",)),
    (_VIDEO, 8, (b"AVI ",)),
    (_VIDEO, 0, (b"\x1aE\xdf\xa3",)),
    (
        _non_text("a compiled program"),
        0,
        (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"\x00asm", b"!<arch>\n"),
    ),
    (_non_text("a font"), 0, (b"\x00\x01\x00\x00\x00", b"OTTO", b"wOF")),
    (_non_text("a database"), 0, (b"SQLite format 3\x00", b"PAR1")),
    (_non_text("a safetensors file, such as a checkpoint"), 8, (b'{"',)),
    (_non_text("a pickle"), 0, (b"\x80\x02", b"\x80\x04\x95")),
    (_non_text("an array file (NumPy or HDF5)"), 0, (b"\x93NUMPY", b"\x89HDF\r\n")),
)
"""Formats, the positions of their magic numbers, and the numbers; the first match wins."""
_IN_ZIP = (
    (b"word/", _document("a Word document", "pandoc -t plain")),
    (b"xl/", _document("an Excel document", "soffice --convert-to csv")),
    (b"ppt/", _document("a PowerPoint document", "soffice --convert-to pdf")),
    (b"application/epub+zip", _document("an EPUB e-book", "pandoc -t plain")),
    (b"application/vnd.oasis", _document("an OpenDocument document", "pandoc -t plain")),
    (b"PK", _archive("a zip archive", "unzip")),
)

NON_TEXT_BYTES = bytes([*range(0x07), *range(0x10, 0x1A)])
"""Control characters that no text contains.

White space, terminal controls, record separators and the shifts of ISO 2022 are excluded.
"""


def readable_document(beginning: bytes) -> Kind | None:
    """Recognise a document that may be ASCII throughout."""
    return next((kind for form, kind in _READABLE if form.match(beginning)), None)


def is_web_page(beginning: bytes) -> bool:
    """Return whether a file with these first bytes is HTML."""
    return _WEB_PAGE.match(beginning) is not None


def kind_by_magic_number(beginning: bytes) -> Kind | None:
    """Recognise a format by its magic number.

    Bytes without control characters may be text: then an ASCII word as magic number proves
    nothing.
    """
    if beginning.startswith(b"PK\x03\x04"):
        return next(kind for name, kind in _IN_ZIP if name in beginning)
    has_controls = contains_controls(beginning)
    for kind, place, numbers in _MAGIC_NUMBERS:
        for number in numbers:
            is_proof = has_controls or (len(number) >= 4 and not place and not number.isascii())
            if is_proof and beginning.startswith(number, place):
                return kind
    return None


def contains_controls(beginning: bytes) -> bool:
    """Return whether bytes contain control characters that no text contains."""
    return len(beginning.translate(None, NON_TEXT_BYTES)) < len(beginning)
