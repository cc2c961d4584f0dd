"""Recognise the encoding of a file: by its form if it is Unicode, else by the decoded text.

UTF-8 is checked to the end of the file. An older encoding is chosen only where it is evident; an
error names the possible ones otherwise. A file in UTF-8 with some wrong bytes counts as damaged,
not as a file in an older encoding.
"""

import codecs
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from charlm.corpus.blocks import is_gzipped, read_blocks, split_beginning
from charlm.corpus.file_kinds import kind_of
from charlm.corpus.files import shown_name
from charlm.corpus.legacy_encodings import Reading, evident, readings
from charlm.corpus.wide_text import utf16_offset
from charlm.errors import CorpusError

UNICODE = frozenset(
    ("utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
)
"""Encodings that are recognised by their form."""
_SAMPLE_BYTES = 1 << 20
"""Number of bytes that are examined from the first one that is not UTF-8."""
_CONTEXT_BYTES = 4096
"""Number of bytes before it."""
_EVIDENCE_BYTES = 1 << 15
"""Number of bytes of lines with characters beyond ASCII by which encodings are compared."""
_DAMAGED_RATIO = 1.5
"""Ratio of bytes of UTF-8 beyond ASCII to other bytes above which a file is damaged UTF-8."""
_MAX_NAMED_ENCODINGS = 2
"""Largest number of encodings in a message."""
_PASSAGE_CHARACTERS = 20
"""Largest number of characters that a message quotes from the text."""
_NAMES = {
    "big5": "Big5",
    "cp932": "Shift_JIS",
    "cp949": "EUC-KR",
    "euc_jp": "EUC-JP",
    "gb18030": "GB 18030",
    "iso2022_jp": "ISO-2022-JP",
    "mac-roman": "Mac Roman",
}
_SURROGATES = re.compile("[\udc80-\udcff]")
"""Bytes that are not UTF-8, as Python decodes them (PEP 383)."""

Remedy = Callable[[Path, str], str]
"""Return how to read a file in an encoding."""


def shown_encoding(encoding: str) -> str:
    """Return the usual name of an encoding."""
    name = _NAMES.get(encoding, encoding.upper())
    return re.sub("^CP(?=125)", "Windows-", name).replace("ISO8859", "ISO 8859")


def iconv_name(encoding: str) -> str:
    """Return the name that the command `iconv` gives to an encoding."""
    return encoding.replace("mac-roman", "macintosh").replace("_", "-")


def recognised_encoding(path: Path, remedy: Remedy) -> str:
    """Return the encoding of a file; UTF-8 for one that is not text.

    Raises `CorpusError` for damaged UTF-8, and where the encoding is not evident: `remedy` says how
    to name it.
    """
    beginning, blocks = split_beginning(read_blocks(path))
    if (kind := kind_of(beginning)) is not None:
        encoding = kind.encoding or "utf-8"  # the decoder reports a file that is not text
        return encoding[: len("utf-16")] if kind.is_marked else encoding
    wrong = _first_wrong_byte(blocks)
    if wrong is None:
        return "utf-8"
    name = shown_name(path)
    if wrong.is_damage:
        raise CorpusError(f"{name}: {wrong}, unlike the text around it; {_repair(path)}")
    found = readings(_evidence(wrong.sample))
    if (chosen := evident(found)) is not None:
        return chosen.encoding
    ways = _ways(path, found, remedy)
    raise CorpusError(f"{name}: {wrong}, and the encoding is not evident; {ways}")


@dataclass(frozen=True)
class _WrongByte:
    """The first byte of a file that is not UTF-8."""

    place: int
    byte: int
    sample: bytes
    """The bytes around it."""
    num_valid: int
    """Number of bytes beyond ASCII before it, of characters of several bytes."""

    def __str__(self) -> str:
        return f"byte {self.place} is not UTF-8 (0x{self.byte:02x})"

    @property
    def is_damage(self) -> bool:
        """Whether most of the bytes beyond ASCII are UTF-8."""
        text = self.sample.decode("utf-8", "surrogateescape")
        num_wrong = len(_SURROGATES.findall(text))
        num_valid = sum(one > "\x7f" for one in text) - num_wrong
        return num_valid + self.num_valid > _DAMAGED_RATIO * num_wrong


def _first_wrong_byte(blocks: Iterator[bytes]) -> _WrongByte | None:
    """Return the first byte that is not UTF-8, or None; UTF-16 within UTF-8 is left to decoding."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset, num_valid, previous = 0, 0, b""
    block = next(blocks, b"")
    while True:
        pending = len(decoder.getstate()[0])
        try:
            num_valid += len(block) - len(decoder.decode(block, final=not block))
        except UnicodeDecodeError as reason:
            if utf16_offset(block, "utf-8") is not None:
                return None
            place = offset - pending + reason.start
            sample = previous + block
            at = len(sample) - len(block) - pending + reason.start
            while len(sample) < at + _SAMPLE_BYTES and (block := next(blocks, b"")):
                sample += block
            return _WrongByte(place, reason.object[reason.start], _from(sample, at), num_valid)
        if not block:
            return None
        offset, previous = offset + len(block), block
        block = next(blocks, b"")


def _from(sample: bytes, place: int) -> bytes:
    """Return the bytes around a place, from the beginning of a word."""
    start = place - _CONTEXT_BYTES
    if start <= 0:
        return sample
    white_space = re.compile(rb"\s").search(sample, start, place)
    return sample[white_space.end() if white_space else place :]


def _evidence(sample: bytes) -> bytes:
    """Return the lines with characters beyond ASCII, up to a size."""
    lines = (line for line in sample.splitlines(keepends=True) if not line.isascii())
    found: list[bytes] = []
    size = 0
    for line in lines:
        found.append(line[: _EVIDENCE_BYTES - size])
        size += len(found[-1])
        if size >= _EVIDENCE_BYTES:
            break
    return b"".join(found)


def _repair(path: Path) -> str:
    if is_gzipped(path) or shown_name(path) != str(path):
        return "repair the text"
    fixed = shlex.quote(str(path.with_name(f"{path.stem}-repaired{path.suffix}")))
    command = f"iconv -c -f utf-8 -t utf-8 {shlex.quote(str(path))} > {fixed}"
    return f"repair it, such as with `{command}`, which omits such bytes"


def _ways(path: Path, found: list[Reading], remedy: Remedy) -> str:
    """Return how to read a file in the likeliest encodings, with a passage as each reads it."""
    likeliest: dict[str, Reading] = {}
    for reading in found:
        if reading.fit > 0:
            likeliest.setdefault(reading.text, reading)
    named = [*likeliest.values()][:_MAX_NAMED_ENCODINGS]
    ways = [
        f"if it has {passage!r}, {remedy(path, one.encoding)}"
        for one, passage in zip(named, _passages([one.text for one in named]), strict=True)
    ]
    return "; ".join(ways) or "convert it to UTF-8, or set corpus.encoding to its encoding"


def _passages(texts: Sequence[str]) -> list[str]:
    """Return the word of each text where they first differ; that beyond ASCII of a single one."""
    if not texts:
        return []
    if len(texts) == 1:
        beyond_ascii = re.search(r"[^\s\x00-\x7f]", texts[0])
        place = beyond_ascii.start() if beyond_ascii else 0
    else:
        place = next(n for n, same in enumerate(zip_longest(*texts)) if len({*same}) > 1)
    before = texts[0][max(0, place - _PASSAGE_CHARACTERS // 2) : place]  # that of every text
    start = place - len(re.split(r"\s", before)[-1])
    passages = [text[start : start + _PASSAGE_CHARACTERS] for text in texts]
    return [_word_at(passage, place - start) for passage in passages]


def _word_at(passage: str, place: int) -> str:
    """Return the beginning of a passage up to the white space after a place."""
    end = re.compile(r"\s").search(passage, place + 1)
    return passage[: end.start()] if end else passage
