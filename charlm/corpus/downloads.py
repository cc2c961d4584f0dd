"""Copy a known number of bytes from an address, a file or an archive.

The pooch library also checks digests, caches and unpacks. It does not stop a body that is longer
than announced or that drips for hours, and it unpacks archives to any size.
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

_BLOCK = 1 << 20
_PATIENCE, _SLOWEST = 60.0, 1000
"""Seconds without a byte; and bytes a second, once as many seconds have gone by."""
_UNREADABLE = (
    *(urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError),
    *(FileNotFoundError, IsADirectoryError, PermissionError, ValueError),
)
"""What reading an address or a file may raise; a full disk is none of them."""
_NOT_UNPACKED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError),
    *(KeyError, RuntimeError, ValueError, TypeError, AttributeError),
)
"""What `zipfile` raises for an archive that somebody has made up."""

_Given = TypeVar("_Given")
_Result = TypeVar("_Result")


def transfer(where: str, target: Path, size: int, on_bytes: Callable[[int], object]) -> None:
    """Copy a file of this size from an address or a path; raises `CorpusError`.

    At most one byte more than `size` is copied, which shows that the source is longer. A transfer
    that is too slow is given up.
    """
    try:
        with _read(_open, where) as source, target.open("wb") as file:
            # read() would wait for a whole block
            _copy(lambda size: _read(source.read1, size), file, size, on_bytes)
    except InvalidDataError as reason:
        raise CorpusError(
            f"{where}: could not be read ({reason}); try again, or fetch it elsewhere and give "
            "--from"
        ) from None


def taken_out(archive: Path, member: str, size: int, where: str) -> Path:
    """Unpack one file of a zip archive beside it, under a name that the archive does not choose.

    Raises `CorpusError`, which says `where` the archive came from.
    """
    target = archive.with_name("member")
    try:
        with (
            _unpacked(zipfile.ZipFile, archive) as packed,
            _unpacked(packed.open, member) as source,
            target.open("wb") as file,
        ):
            _copy(lambda size: _unpacked(source.read, size), file, size)
        if target.stat().st_size != size:
            raise InvalidDataError(f"it does not have {size:,} bytes")
    except InvalidDataError as reason:
        raise CorpusError(
            f"{where}: {member!r:.60} cannot be taken out of it ({reason!s:.100}); fetch it "
            "elsewhere and give --from"
        ) from None
    return target


def _read(call: Callable[[_Given], _Result], given: _Given) -> _Result:
    """Call a function that reads from a source; raises `InvalidDataError` if it fails."""
    try:
        return call(given)
    except _UNREADABLE as reason:
        if isinstance(reason, urllib.error.HTTPError):
            reason.close()
        why = getattr(reason, "reason", None) or getattr(reason, "strerror", None) or reason
        raise InvalidDataError(str(why)) from None


def _unpacked(call: Callable[[_Given], _Result], given: _Given) -> _Result:
    """Call a function of `zipfile`; raises `InvalidDataError` for an invalid archive."""
    try:
        return call(given)
    except _NOT_UNPACKED as reason:
        if isinstance(reason, OSError) and reason.errno is not None:
            raise  # the disk; bz2 raises one, too, for what it did not pack
        raise InvalidDataError(str(reason)) from None


def sha256_of(path: Path) -> str:
    """Return the digest of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(
    read: Callable[[int], bytes],
    file: IO[bytes],
    size: int,
    on_bytes: Callable[[int], object] = lambda size: None,
) -> None:
    left, start = size + 1, monotonic()
    while left > 0 and (block := read(min(left, _BLOCK))):
        file.write(block)
        left -= len(block)
        on_bytes(len(block))
        seconds = monotonic() - start
        if left > 1 and seconds > _PATIENCE and size + 1 - left < _SLOWEST * seconds:
            raise InvalidDataError(f"less than {_SLOWEST:,} bytes a second")


def _open(where: str) -> io.BufferedIOBase:
    if "://" not in where:
        return Path(where).open("rb")
    request = urllib.request.Request(where, headers={"User-Agent": "charlm"})
    response: io.BufferedIOBase = urllib.request.urlopen(request, timeout=_PATIENCE)
    return response
