"""Read files, plain or gzipped, and standard input in blocks of bytes."""

import errno
import gzip
import io
import sys
import tempfile
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import IO

from charlm.corpus.file_kinds import BEGINNING_BYTES, kind_of
from charlm.corpus.files import STANDARD_INPUT_COPY
from charlm.errors import CorpusError, file_errors

_BLOCK_BYTES = 1 << 19
"""Number of bytes to read at a time; their code points fit in a processor's cache."""


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


def split_beginning(blocks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first bytes, which show the kind of a file, and all blocks including them."""
    first: list[bytes] = []
    while sum(map(len, first)) < BEGINNING_BYTES and (block := next(blocks, b"")):
        first.append(block)
    return b"".join(first), chain(first, blocks)


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


def spool_standard_input(folder: Path) -> Path:
    """Copy standard input to a file in `folder`, where it can be read more than once."""
    remedy = "free some space or set CHARLM_CACHE"
    with (
        file_errors("be written", folder, remedy, CorpusError),
        tempfile.NamedTemporaryFile(dir=folder, prefix=STANDARD_INPUT_COPY, delete=False) as file,
    ):
        copy_standard_input(file)
    return Path(file.name)


def copy_standard_input(file: IO[bytes]) -> None:
    """Write standard input to an open file."""
    while block := _read_standard_input():
        file.write(block)


def _read_standard_input() -> bytes:
    with file_errors("be read", "standard input", "redirect a text to it", CorpusError):
        return read_waiting(sys.stdin.buffer, _BLOCK_BYTES)


def read_waiting(file: IO[bytes] | io.BufferedIOBase, size: int) -> bytes:
    """Read up to `size` bytes; raises `BlockingIOError` for a stream that does not wait for data.

    Such a stream returns None instead of what comes later, which looks like its end.
    """
    data: bytes | None = file.read(size)
    if data is None:
        raise BlockingIOError(errno.EAGAIN, "it does not wait for data")
    return data
