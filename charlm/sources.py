"""Files in any encoding, plain or gzipped, as a stream of symbols in pieces of bounded size."""

import codecs
import fnmatch
import glob
import gzip
import io
import os
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from charlm.config import CorpusConfig
from charlm.errors import CorpusError, file_errors
from charlm.normal_forms import normalised
from charlm.texts import files_of
from charlm.vocabulary import Symbols, code_points

_BLOCK = 1 << 19
"""Bytes read at a time: what becomes of so many fits in a processor's cache."""
_BYTE_ORDER_MARK = "\ufeff"
_REMOVE_THE_MARK_THEMSELVES = ("utf-16", "utf-32")
_MOST_PENDING = 1 << 20
"""Bytes that a decoder may keep until they make a character: UTF-7 may begin what has no end."""
_MARKS_OF_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def find_files(paths: Sequence[str], builtin: str | None = None) -> list[Path]:
    """Return the files that paths, folders and globs name, each once, in a reproducible order.

    Folders give all their files in every depth, hidden ones left out; a file that has two names,
    one of them a link, goes by the first. Raises `CorpusError`.
    """
    found: list[Path] = files_of(builtin) if builtin is not None else []
    for name in paths:
        with file_errors("be found", name, "check the path", CorpusError):
            files = _files_below(name)
        if not files:
            raise CorpusError(f"{name}: no such file, or a folder without files; check the path")
        found.extend(files)
    by_place: dict[Path, Path] = {}
    for path in found:
        by_place.setdefault(path.resolve(), path)
    return list(by_place.values())


def _files_below(name: str) -> list[Path]:
    if not name:  # an unset shell variable is not the current folder
        return []
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - Path's raises for an unknown home
    if path.is_dir():
        return _files_that_match(path, ("**",))
    if path.is_file():
        return [path]
    if path.exists():  # a device or a pipe may never end, and cannot be read twice
        raise CorpusError(
            f"{name}: neither a file nor a folder; save the text in a file, or give it as "
            "standard input (-)"
        )
    parts = path.parts
    literal = next((k for k, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    try:
        return _files_that_match(Path(*parts[:literal]), parts[literal:])
    except ValueError:  # a zero byte, or half of a pair: no name of a file
        return []


def _files_that_match(folder: Path, pattern: tuple[str, ...]) -> list[Path]:
    """Return the files below a folder whose path in it is that of a glob, cut in its parts.

    `**` stands for any folders that are neither hidden nor links, and at the end for their files.
    No folder is read twice for what is left of the pattern, wherever links lead.
    """
    found, seen = [], set()
    to_read = [(folder, frozenset([pattern]))]
    while to_read:
        folder, patterns = to_read.pop()
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            about = folder.stat()
            if (key := (about.st_dev, about.st_ino, patterns)) in seen:
                continue
            seen.add(key)
            for path in folder.iterdir():
                left = frozenset(rest for p in patterns for rest in _left(p, path))
                if () in left and path.is_file():
                    found.append(path)
                if (deeper := left - {()}) and path.is_dir():
                    to_read.append((path, deeper))
    return sorted(found)


def _left(pattern: tuple[str, ...], path: Path) -> list[tuple[str, ...]]:
    """Return what may be left of a pattern once its beginning has matched a path's last part."""
    if not pattern:
        return []
    first, *others = pattern
    rest, is_hidden = tuple(others), path.name.startswith(".")
    if first != "**":
        is_meant = first.startswith(".") or not is_hidden
        return [rest] if is_meant and fnmatch.fnmatch(path.name, first) else []
    stays = [] if is_hidden or path.is_symlink() else [pattern]
    return [*stays, *([()] if not rest and not is_hidden else _left(rest, path))]


def spool_standard_input(folder: Path) -> Path:
    """Copy standard input to a file in `folder`, where it can be read more than once."""
    remedy = "free some space or set CHARLM_CACHE"
    with (
        file_errors("be written", folder, remedy, CorpusError),
        tempfile.NamedTemporaryFile(dir=folder, prefix="standard-input-", delete=False) as file,
    ):
        shutil.copyfileobj(sys.stdin.buffer, file, _BLOCK)
    return Path(file.name)


def read_symbols(files: Sequence[Path], config: CorpusConfig) -> Iterator[Symbols]:
    """Read files one after the other as pieces of code points, or of bytes with `unit: byte`."""
    left = config.max_characters
    for path in files:
        for piece in _pieces(path, config):
            if left is not None:
                piece, left = piece[:left], left - len(piece[:left])  # noqa: PLW2901
            if len(piece):
                yield piece
            if left == 0:
                return


def _pieces(path: Path, config: CorpusConfig) -> Iterator[Symbols]:
    blocks = _blocks(path)
    if config.unit == "byte":
        return (np.frombuffer(block, np.uint8) for block in blocks)
    texts = _decoded(blocks, path, config)
    if config.normal_form != "none":
        texts = normalised(texts, config.normal_form, path)
    return map(code_points, texts)


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        with _open(path) as file:
            while block := file.read(_BLOCK):
                yield block
    except (gzip.BadGzipFile, EOFError, zlib.error) as reason:
        raise CorpusError(f"{path}: not a whole gzip file ({reason}); make it again") from None
    except OSError as reason:
        why = reason.strerror or reason
        raise CorpusError(f"{path}: cannot be read ({why}); check the file") from None


def _open(path: Path) -> io.BufferedIOBase:
    if is_packed(path):
        return gzip.GzipFile(path)
    return path.open("rb")


def is_packed(path: Path) -> bool:
    """Return whether a file is read as gzip."""
    return path.suffix == ".gz"


def _decoded(blocks: Iterator[bytes], path: Path, config: CorpusConfig) -> Iterator[str]:
    bytes_decoder = codecs.getincrementaldecoder(config.encoding)()
    decoder: io.IncrementalNewlineDecoder | codecs.IncrementalDecoder = bytes_decoder
    if config.newlines != "keep":
        decoder = io.IncrementalNewlineDecoder(bytes_decoder, translate=True)
    offset, at_start = 0, True
    for block in _with_end(blocks):
        pending = len(bytes_decoder.getstate()[0])
        if pending > _MOST_PENDING:
            raise CorpusError(
                f"{path}: {_MOST_PENDING:,} bytes are not yet a character; convert the file, or "
                "check corpus.encoding"
            )
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as reason:
            place = offset - pending + reason.start
            wrong = reason.object[reason.start]
            marked = place == 0 and reason.object[:2] in _MARKS_OF_UTF_16
            remedy = "utf-16, by its first two bytes" if marked else "what it is, such as cp1252"
            raise CorpusError(
                f"{path}: byte {place} is not {config.encoding.upper()} (0x{wrong:02x}); convert "
                f"the file, or set corpus.encoding to {remedy}, or corpus.unit to byte"
            ) from None
        except UnicodeError as reason:
            raise CorpusError(
                f"{path}: not {config.encoding} ({reason}); set corpus.encoding"
            ) from None
        offset += len(block)
        if at_start and text:
            if config.encoding not in _REMOVE_THE_MARK_THEMSELVES:
                text = text.removeprefix(_BYTE_ORDER_MARK)
            at_start = False
        yield text.replace("\n", " ") if config.newlines == "space" else text


def _with_end(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Add the empty block that tells a decoder that the file ends."""
    yield from blocks
    yield b""


def as_read(text: str, config: CorpusConfig) -> str:
    """Bring a typed text into the newlines and normal form of a corpus."""
    if config.newlines != "keep":
        newline = " " if config.newlines == "space" else "\n"
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", newline)
    if config.normal_form != "none":
        text = "".join(normalised(iter([text]), config.normal_form, "the prefix"))
    return text
