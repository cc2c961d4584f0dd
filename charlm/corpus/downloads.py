"""Copy a known number of bytes from an address, a file or an archive.

The pooch library also checks digests, caches and unpacks. It does not stop a transfer that is
longer than announced or takes hours, and it unpacks archives of any size.
"""

import hashlib
import http.client
import io
import lzma
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import IO, TypeVar

from charlm.errors import CorpusError
from charlm.files.untrusted import InvalidDataError

_BLOCK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 60.0
"""Longest wait for a byte, and time after which a slow transfer is abandoned."""
_MIN_BYTES_PER_SECOND = 1000
_READ_ERRORS = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    FileNotFoundError,
    IsADirectoryError,
    PermissionError,
    ValueError,
)
"""Errors from reading an address or a file; a full disk raises none of them."""
_ARCHIVE_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    KeyError,
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
)
"""Errors that `zipfile` raises for an invalid archive."""

_Argument = TypeVar("_Argument")
_Result = TypeVar("_Result")


def transfer(source: str, target: Path, size: int, on_bytes: Callable[[int], object]) -> None:
    """Copy a file of this size from an address or a path; raises `CorpusError`.

    At most one byte more than `size` is copied, which shows that the source is longer. A transfer
    that is too slow is abandoned.
    """
    try:
        with _call_reader(_open, source) as stream, target.open("wb") as file:
            # read() would wait for a whole block
            _copy(lambda size: _call_reader(stream.read1, size), file, size, on_bytes)
    except InvalidDataError as reason:
        raise CorpusError(
            f"{source}: could not be read ({reason}); try again, or download it elsewhere and "
            "pass it with --from"
        ) from None


def unpack_member(archive: Path, member: str, size: int, source: str) -> Path:
    """Unpack one file of a zip archive to a file beside it, and return its path.

    The archive does not choose the name. Raises `CorpusError`, which names the `source`.
    """
    target = archive.with_name("member")
    try:
        with (
            _call_zipfile(zipfile.ZipFile, archive) as packed,
            _call_zipfile(packed.open, member) as stream,
            target.open("wb") as file,
        ):
            _copy(lambda size: _call_zipfile(stream.read, size), file, size)
        if target.stat().st_size != size:
            raise InvalidDataError(f"it does not have {size:,} bytes")
    except InvalidDataError as reason:
        raise CorpusError(
            f"{source}: {member!r:.60} cannot be unpacked from it ({reason!s:.100}); download it "
            "elsewhere and pass it with --from"
        ) from None
    return target


def _call_reader(call: Callable[[_Argument], _Result], argument: _Argument) -> _Result:
    """Call a function that reads from a source; raises `InvalidDataError` if it fails."""
    try:
        return call(argument)
    except _READ_ERRORS as reason:
        if isinstance(reason, urllib.error.HTTPError):
            reason.close()
        why = getattr(reason, "reason", None) or getattr(reason, "strerror", None) or reason
        raise InvalidDataError(str(why)) from None


def _call_zipfile(call: Callable[[_Argument], _Result], argument: _Argument) -> _Result:
    """Call a function of `zipfile`; raises `InvalidDataError` for an invalid archive."""
    try:
        return call(argument)
    except _ARCHIVE_ERRORS as reason:
        if isinstance(reason, OSError) and reason.errno is not None:
            raise  # the disk failed; bz2 raises OSError without errno for invalid data
        raise InvalidDataError(str(reason)) from None


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(
    read: Callable[[int], bytes],
    file: IO[bytes],
    size: int,
    on_bytes: Callable[[int], object] = lambda size: None,
) -> None:
    remaining_bytes, start = size + 1, monotonic()
    while remaining_bytes > 0 and (block := read(min(remaining_bytes, _BLOCK_BYTES))):
        file.write(block)
        remaining_bytes -= len(block)
        on_bytes(len(block))
        seconds = monotonic() - start
        if (
            remaining_bytes > 1
            and seconds > _TIMEOUT_SECONDS
            and size + 1 - remaining_bytes < _MIN_BYTES_PER_SECOND * seconds
        ):
            raise InvalidDataError(f"less than {_MIN_BYTES_PER_SECOND:,} bytes per second")


def _open(source: str) -> io.BufferedIOBase:
    if "://" not in source:
        return Path(source).open("rb")
    request = urllib.request.Request(source, headers={"User-Agent": "charlm"})
    response: io.BufferedIOBase = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    return response
