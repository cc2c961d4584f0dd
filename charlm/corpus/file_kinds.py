"""Recognise files that are not text in the expected encoding by their first bytes.

Only bytes that no text contains count: a file that begins like a picture and continues as readable
text is a text. If nothing is recognised, the decoder decides.
"""

import codecs
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

BEGINNING = 1 << 16
"""Bytes of a file that are looked at."""
LEAVE_IT_OUT = "leave it out"
"""The remedy for a file that contains no text."""
_FEWEST = 16
"""Bytes: of fewer, only byte order marks and magic numbers are taken as evidence."""


@dataclass(frozen=True)
class Kind:
    """What a file is, and the remedy for its owner."""

    name: str
    remedy: str
    encoding: str | None = None
    """That of a text in UTF-16, UTF-32 or ISO-2022-JP."""
    is_marked: bool = False
    """It begins with a byte order mark."""


def _document(name: str, command: str) -> Kind:
    return Kind(name, f"convert it to plain text first, such as with `{command}`")


def _packed(name: str, command: str) -> Kind:
    return Kind(name, f"unpack it first, such as with `{command}`")


def _without_text(name: str) -> Kind:
    return Kind(name, LEAVE_IT_OUT)


_PDF = _document("a PDF document", "pdftotext")
_READABLE = (
    (re.compile(rb"%PDF-\d\.\d[ \t]*[\r\n]"), _PDF),
    (re.compile(rb"%!PS-Adobe-\d"), _document("a PostScript document", "ps2ascii")),
    (re.compile(rb"\{\\rtf\d"), _document("an RTF document", "pandoc -t plain")),
)
"""How documents begin that may be ASCII throughout; no plain text begins like this."""
_WEB_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html)\b", re.IGNORECASE)

_GZIP = Kind("a gzip file", "rename it to end in .gz")
_PICTURE, _SOUND, _FILM = map(_without_text, ("a picture", "a sound file", "a film"))
_PROGRAM, _FONT = _without_text("a compiled program"), _without_text("a font")
_DATABASE = _without_text("a database")
_ARRAYS = _without_text("a file of numbers")

_MAGIC_NUMBERS: tuple[tuple[int, bytes, Kind], ...] = (
    (0, b"\x1f\x8b\x08", _GZIP),
    (0, b"\x1f\x9d", _packed("a .Z archive", "uncompress")),
    (0, b"BZh", _packed("a bzip2 file", "bunzip2")),
    (0, b"\xfd7zXZ\x00", _packed("an xz file", "unxz")),
    (0, b"\x28\xb5\x2f\xfd", _packed("a Zstandard file", "unzstd")),
    (0, b"\x04\x22\x4d\x18", _packed("an LZ4 file", "unlz4")),
    (0, b"7z\xbc\xaf\x27\x1c", _packed("a 7-Zip archive", "7z x")),
    (0, b"Rar!\x1a\x07", _packed("a RAR archive", "unrar x")),
    (257, b"ustar", _packed("a tar archive", "tar -xf")),
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
    (8, b"WAVE", _SOUND),
    (0, b"ID3", _SOUND),
    (0, b"\xff\xfb", _SOUND),
    (0, b"fLaC", _SOUND),
    (0, b"OggS", _SOUND),
    (4, b"ftypM4A", _SOUND),
    (4, b"ftyp", _FILM),
    (8, b"AVI ", _FILM),
    (0, b"\x1aE\xdf\xa3", _FILM),
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
    (8, b'{"', _without_text("a safetensors file, such as a checkpoint")),
    (0, b"\x80\x02", _without_text("a pickle")),
    (0, b"\x80\x04\x95", _without_text("a pickle")),
    (0, b"\x93NUMPY", _ARRAYS),
    (0, b"\x89HDF\r\n", _ARRAYS),
)

_IN_ZIP = (
    (b"word/", _document("a Word document", "pandoc -t plain")),
    (b"xl/", _document("an Excel document", "soffice --convert-to csv")),
    (b"ppt/", _document("a PowerPoint document", "soffice --convert-to pdf")),
    (b"application/epub+zip", _document("an EPUB e-book", "pandoc -t plain")),
    (b"application/vnd.oasis", _document("an OpenDocument document", "pandoc -t plain")),
    (b"PK", _packed("a zip archive", "unzip")),
)

_NEVER_IN_TEXT = bytes([*range(0x07), *range(0x10, 0x1A)])
"""Control characters, but for white space, those of terminals, separators of records and the
shifts of ISO 2022."""
_FEWEST_KINDS, _LEAST_SHARE = 8, 0.02
"""How many of them, and which share of the bytes, tell data from text with odd separators."""

_HIGHER_BYTES = bytes(range(0x09))
_WIDE = re.compile(rb"(?:[^\x00-\x08][\x00-\x08]){16}|(?:[\x00-\x08][^\x00-\x08]){16}", re.DOTALL)
"""Characters of UTF-16, of the alphabets below U+0900, in one of the byte orders."""

_ISO_2022_JP = Kind(
    "ISO-2022-JP text", "read it with --set corpus.encoding=iso2022_jp", "iso2022_jp"
)

_MARKS = (  # the longer ones first: that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def kind_of(beginning: bytes) -> Kind | None:
    """Return the kind of a file with these first bytes; None for text and unknown kinds."""
    beginning = beginning[:BEGINNING]
    if marked := _marked(beginning):
        return marked
    if readable := next((kind for form, kind in _READABLE if form.match(beginning)), None):
        return readable
    if _is_iso_2022_jp(beginning):
        return _ISO_2022_JP
    wide = _WIDE.search(beginning)
    start = beginning[: wide.start()] if wide and wide.start() >= _FEWEST else beginning
    if _is_utf_8(start) and not _has_controls(start):  # `place_of_wide` finds what follows
        return None
    return _by_magic_number(beginning) or _wide(beginning) or _data(beginning)


def misread(beginning: bytes, encoding: str) -> Kind | None:
    """Return the kind of a file with these first bytes, unless `encoding` may be right for it."""
    kind = kind_of(beginning)
    if kind is None or kind.encoding is None:
        is_free = kind in (_ZEROS, _DATA) and not _contains_ascii(encoding)
        return None if is_free else kind
    if kind is _ISO_2022_JP:
        return None if encoding.startswith("iso2022_jp") else kind
    family = kind.encoding[: len("utf-16")]
    fits = encoding == kind.encoding or (kind.is_marked and encoding == family)
    return None if fits else kind


def is_web_page(beginning: bytes) -> bool:
    """Return whether a file with these first bytes is HTML."""
    return _WEB_PAGE.match(beginning) is not None


def place_of_wide(block: bytes, encoding: str) -> int | None:
    """Return where UTF-16 begins in a block of text in another encoding; None if nowhere.

    `>>` of PowerShell appends UTF-16 to a text in UTF-8, which stays valid UTF-8 with zero bytes.
    """
    if len(block.translate(None, _HIGHER_BYTES)) == len(block) or not _contains_ascii(encoding):
        return None
    found = _WIDE.search(block)
    return found.start() if found else None


def _contains_ascii(encoding: str) -> bool:
    """Return whether a byte below 128 is the character of ASCII."""
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


def _marked(beginning: bytes) -> Kind | None:
    for mark, encoding in _MARKS:
        if not beginning.startswith(mark):
            continue
        # The mark of UTF-32 may also be the mark of UTF-16 and a zero.
        if len(mark) == 4 and len(_sensible(beginning, encoding) or "") < _FEWEST // len(mark):
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
    return len(beginning.translate(None, _NEVER_IN_TEXT)) < len(beginning)


def _is_utf_8(beginning: bytes) -> bool:
    """Return whether bytes are UTF-8; the last character may be cut off."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(beginning)
    except UnicodeDecodeError:
        return False
    return True


def _wide(beginning: bytes) -> Kind | None:
    """Recognise UTF-16 and UTF-32 without a mark, by zeros and by plausible decoded text."""
    if len(beginning) < _FEWEST or b"\x00" not in beginning:
        return None
    spaces = {encoding: _spaces_in(beginning, encoding) for _, encoding in _MARKS}
    encoding = max(spaces, key=lambda name: spaces[name])
    others = sum(spaces.values()) - spaces[encoding]
    if spaces[encoding] <= 10 * others:
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
    """Decode bytes; None if that fails or gives characters that texts hardly ever contain."""
    width = 4 if encoding.startswith("utf-32") else 2
    whole = beginning[: len(beginning) // width * width]
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(whole)
    except UnicodeDecodeError:
        return None
    odd = sum(count for character, count in Counter(text).items() if _is_odd(character))
    return None if odd > _LEAST_SHARE * len(text) else text


def _is_odd(character: str) -> bool:
    is_control = unicodedata.category(character) in ("Cc", "Cn", "Co", "Cs")
    return is_control and character not in "\t\n\v\f\r\x1b\x85"


def _is_wide(beginning: bytes, encoding: str, spaces: int) -> bool:
    """Return whether a text that could be UTF-16 can't be one of narrow characters.

    The higher bytes of most alphabets are below 0x20. Those of Chinese, Japanese and Korean are
    not, but then the lower ones are no UTF-8, and many zeros are all in one place of two.
    """
    higher = beginning[int(encoding == "utf-16-le") :: 2]
    low = sum(byte < 0x20 for byte in higher)
    return low >= 0.8 * len(higher) or (spaces >= 12 and not _is_utf_8(beginning))


_ZEROS = Kind("data with many zero bytes", "leave it out, or check that the file is whole")
_DATA = Kind("data", "leave it out, or convert it to text; bytes: --set corpus.unit=byte")
_MOST_ZEROS = 0.3


def _data(beginning: bytes) -> Kind | None:
    """Recognise data that is text in no encoding, even if its kind is unknown."""
    if len(beginning) < _FEWEST:
        return None
    if beginning.count(b"\x00") > _MOST_ZEROS * len(beginning):
        return _ZEROS
    counts = Counter(beginning)
    odd = [counts[byte] for byte in _NEVER_IN_TEXT if counts[byte]]
    is_data = len(odd) >= _FEWEST_KINDS and sum(odd) > _LEAST_SHARE * len(beginning)
    return _DATA if is_data and not _is_utf_8(beginning) else None
