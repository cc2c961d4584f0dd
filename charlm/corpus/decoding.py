"""Decode files in any encoding, plain or gzipped, as a stream of symbols in bounded pieces."""

import codecs
import gzip
import io
import sys
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from charlm.config.schema import CorpusConfig
from charlm.corpus.file_formats import LEAVE_IT_OUT, is_web_page
from charlm.corpus.file_kinds import BEGINNING_BYTES, kind_of, mismatch
from charlm.corpus.files import STANDARD_INPUT_COPY, exclusion_remedy, shown_name
from charlm.corpus.newlines import LineEnds, converted, newlines_converted
from charlm.corpus.normalization import normalised
from charlm.corpus.vocabulary import Symbols, code_points
from charlm.corpus.wide_text import utf16_offset
from charlm.errors import CorpusError, file_errors

_BLOCK_BYTES = 1 << 19
"""Number of bytes to read at a time; their code points fit in a processor's cache."""
_HTML_BEGINNING_BYTES = 1024
"""Number of bytes at the beginning of a file by which HTML is recognised."""
_BYTE_ORDER_MARK = "\ufeff"
_MARK_REMOVING_ENCODINGS = ("utf-16", "utf-32")
"""Encodings whose decoders remove the byte order mark."""
_MOST_PENDING_BYTES = 1 << 20
"""Bytes that a decoder may hold until they complete a character; in UTF-7, none may ever do so."""


def spool_standard_input(folder: Path) -> Path:
    """Copy standard input to a file in `folder`, where it can be read more than once."""
    remedy = "free some space or set CHARLM_CACHE"
    with (
        file_errors("be written", folder, remedy, CorpusError),
        tempfile.NamedTemporaryFile(dir=folder, prefix=STANDARD_INPUT_COPY, delete=False) as file,
    ):
        while block := _read_standard_input():
            file.write(block)
    return Path(file.name)


def _read_standard_input() -> bytes:
    with file_errors("be read", "standard input", "redirect a text to it", CorpusError):
        return sys.stdin.buffer.read(_BLOCK_BYTES)


def read_symbols(
    files: Sequence[Path],
    config: CorpusConfig,
    encodings: Mapping[Path, str] | None = None,
    line_ends: dict[Path, LineEnds] | None = None,
) -> Iterator[Symbols]:
    """Yield the code points of files in pieces, or their bytes with `unit: byte`.

    `encodings` are those of files that are not in the encoding of the config, UTF-8 if that is
    `auto`. `line_ends` receives the numbers of the line ends that are converted, for each file.
    """
    left = config.max_characters
    by_default = "utf-8" if config.encoding == "auto" else config.encoding
    names = {path: (encodings or {}).get(path, by_default) for path in files}
    configs = {name: config.replace(encoding=name) for name in set(names.values())}
    for path in files:
        counts = LineEnds()
        if line_ends is not None:
            line_ends[path] = counts
        for piece in _pieces(path, configs[names[path]], files, counts):
            if left is not None:
                piece, left = piece[:left], left - len(piece[:left])  # noqa: PLW2901
            if len(piece):
                yield piece
            if left == 0:
                return


def web_pages(files: Sequence[Path]) -> list[Path]:
    """Return the files that are HTML; raises `CorpusError` for one that cannot be read."""
    return [
        path for path in files if is_web_page(next(read_blocks(path, _HTML_BEGINNING_BYTES), b""))
    ]


def _pieces(
    path: Path, config: CorpusConfig, files: Sequence[Path], line_ends: LineEnds
) -> Iterator[Symbols]:
    blocks = read_blocks(path)
    if config.unit == "byte":
        return (np.frombuffer(block, np.uint8) for block in blocks)
    named = (*config.paths, *config.validation_paths, *config.test_paths)
    texts = _decode(blocks, path, config, exclusion_remedy(path, named, files))
    if config.line_ends != "keep":
        texts = converted(texts, config.line_ends, line_ends)
    if config.normal_form != "none":
        texts = normalised(texts, config.normal_form, path)
    return map(code_points, texts)


def read_blocks(path: Path, size: int | None = None) -> Iterator[bytes]:
    """Read a file, gzipped or not, in blocks of `size` bytes, by default `_BLOCK_BYTES`."""
    try:
        with _open(path) as file:
            while block := file.read(size or _BLOCK_BYTES):
                yield block
    except (gzip.BadGzipFile, EOFError, zlib.error) as reason:
        raise CorpusError(f"{path}: {_why_not_gzip(path, reason)}") from None
    except OSError as reason:
        why = reason.strerror or reason
        raise CorpusError(f"{path}: cannot be read ({why}); check the file") from None


def _why_not_gzip(path: Path, reason: Exception) -> str:
    with path.open("rb") as file:
        beginning = file.read(BEGINNING_BYTES)
    if beginning.startswith(b"\x1f\x8b"):
        return f"incomplete or damaged gzip file ({reason}); compress it again"
    kind = kind_of(beginning)
    if kind is None or kind.encoding is not None:
        return f"not a gzip file ({reason}); if it is text, remove .gz from its name"
    return f"{kind.name}, not a gzip file; {kind.remedy}"


def _open(path: Path) -> io.BufferedIOBase:
    if is_gzipped(path):
        return gzip.GzipFile(path)
    return path.open("rb")


def is_gzipped(path: Path) -> bool:
    """Return whether a file is read as gzip."""
    return path.suffix == ".gz"


def _check_blocks(
    blocks: Iterator[bytes], path: Path, config: CorpusConfig, exclusion: str
) -> Iterator[bytes]:
    """Yield blocks; raise `CorpusError` if they are not text in the encoding of the config."""
    first: list[bytes] = []
    while sum(map(len, first)) < BEGINNING_BYTES and (block := next(blocks, b"")):
        first.append(block)
    if kind := mismatch(b"".join(first), config.encoding):
        expected = "plain" if kind.encoding is None else config.encoding.upper()
        remedy = exclusion if exclusion and kind.remedy == LEAVE_IT_OUT else kind.remedy
        alternative = "" if remedy is exclusion or not exclusion else f"; or {exclusion}"
        raise CorpusError(
            f"{shown_name(path)}: {kind.name}, not {expected} text; {remedy}{alternative}"
        )
    offset = 0
    for block in chain(first, blocks):
        if (start := utf16_offset(block, config.encoding)) is not None:
            alternative = f"; or {exclusion}" if exclusion else ""
            raise CorpusError(
                f"{shown_name(path)}: UTF-16 text from byte {offset + start} on, within "
                f"{config.encoding.upper()} text, as PowerShell's >> appends it; convert the "
                f"file to one encoding{alternative}"
            )
        offset += len(block)
        yield block


def _decode(
    blocks: Iterator[bytes], path: Path, config: CorpusConfig, exclusion: str
) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(config.encoding)()
    offset, at_start = 0, True
    alternative = f"; or {exclusion}" if exclusion else ""
    for block in _append_end(_check_blocks(blocks, path, config, exclusion)):
        pending = len(decoder.getstate()[0])
        if pending > _MOST_PENDING_BYTES:
            raise CorpusError(
                f"{shown_name(path)}: {_MOST_PENDING_BYTES:,} bytes do not complete a character; "
                "convert the file, or check corpus.encoding"
            )
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as reason:
            place = offset - pending + reason.start
            wrong = reason.object[reason.start]
            raise CorpusError(
                f"{shown_name(path)}: byte {place} is not {config.encoding.upper()} "
                f"(0x{wrong:02x}); convert the file, or set corpus.encoding to its encoding or to "
                f"auto, which recognises most, or corpus.unit to byte{alternative}"
            ) from None
        except UnicodeError as reason:
            raise CorpusError(
                f"{shown_name(path)}: not {config.encoding} ({reason}); set corpus.encoding to its "
                "encoding"
            ) from None
        offset += len(block)
        if at_start and text:
            if config.encoding not in _MARK_REMOVING_ENCODINGS:
                text = text.removeprefix(_BYTE_ORDER_MARK)
            at_start = False
        yield text


def _append_end(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Append the empty block that tells a decoder that the file ends."""
    yield from blocks
    yield b""


def as_read(text: str, config: CorpusConfig) -> str:
    """Apply the newlines and the normal form of a corpus to a typed text."""
    if config.line_ends != "keep":
        text = newlines_converted(text, config.line_ends)
    if config.normal_form != "none":
        text = "".join(normalised(iter([text]), config.normal_form, "the prefix"))
    return text
