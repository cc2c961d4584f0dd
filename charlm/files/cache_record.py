"""Record which files in the cache charlm made: it replaces and deletes only those.

Other programs may keep files in the same folder, so a name proves nothing. charlm adds a name to
the record before it writes the file, and replaces only files in the record. One lock protects both
steps, and all steps of `charlm data clear`.
"""

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from charlm.files.atomic import sync_folder, write_whole
from charlm.files.locations import cache_folder
from charlm.files.untrusted import read_bounded

_TITLE = "charlm has put these here, and `charlm data clear` deletes them:"
_MAX_MEGABYTES = 16
_NAMES = re.compile(
    r"measurements\.json|corpora(/file-digests\.json|/[0-9a-f]{32})?|texts(/[\w-]{1,80}\.txt)?"
)
"""Names that charlm may write to its cache; it ignores all others in a record."""
_LOCK_MARKER = re.compile(rb"[0-9]+\n[^\n]+\n([0-9]+\n)?|filelock/(break\n[0-9]+|released)\n")
"""Content of filelock's file on systems without locks: process and machine."""
_MAX_MARKER_BYTES = 1024


@contextmanager
def record_locked(*, is_last: bool = False) -> Iterator[None]:
    """Hold the lock for recording names and for making or deleting their files.

    This keeps every claim while another process clears the cache. With `is_last`, or if this call
    made the lock file and nothing was recorded, delete the file after the block. Raises `OSError`.
    """
    lock = cache_folder() / ".charlm-lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    is_new = not os.path.lexists(lock)
    with suppress(FileNotFoundError):
        if not _is_lock(lock):
            raise _not_ours(lock)
    with FileLock(lock):
        try:
            yield
        finally:
            if is_last or (is_new and not os.path.lexists(record_file())):
                with suppress(OSError):  # Windows cannot delete an open file
                    lock.unlink()


def claim(path: Path) -> None:
    """Record that charlm is about to write `path` in its cache; the caller holds the lock.

    Raises `FileExistsError` if the path exists and is not in the record, and `PermissionError` if
    it belongs to another user, so that this user cannot read it.
    """
    name = path.relative_to(cache_folder()).as_posix()
    assert _NAMES.fullmatch(name), f"{name}: not a name that charlm can read back from the record"
    check_claim(path)
    if name not in _names():
        _append(name)


def check_claim(path: Path) -> None:
    """Raise the errors of `claim` without recording anything."""
    is_there, is_recorded = os.path.lexists(path), path in claimed()
    if is_there and not is_recorded:
        raise _not_ours(path)
    is_effective = os.access in os.supports_effective_ids
    is_readable = os.access(path, os.R_OK, effective_ids=is_effective)
    if is_there and (path.is_symlink() or not is_readable):
        raise PermissionError(errno.EACCES, f"{path} is a link or belongs to another user")


def make_folder(path: Path) -> None:
    """Make a folder of the cache, or use an existing one, even if charlm did not make it.

    The caller holds the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.path.lexists(path):
        claim(path)
        path.mkdir(exist_ok=True)
    elif not os.path.isdir(path):  # noqa: PTH112 - Path's raises for some
        raise _not_ours(path)


def claimed() -> list[Path]:
    """Return the recorded paths: first the contents of folders, then the folders."""
    names = sorted(_names(), key=lambda name: (-name.count("/"), name))
    return [cache_folder() / name for name in names]


def forget(paths: Iterable[Path]) -> None:
    """Remove paths from the record; delete an empty record. The caller holds the lock."""
    recorded = _names()
    names = sorted(recorded - {path.relative_to(cache_folder()).as_posix() for path in paths})
    if names:
        write_whole(record_file(), "\n".join([_TITLE, *names, ""]).encode())
    elif recorded:
        record_file().unlink()


def _is_lock(path: Path) -> bool:
    """Return whether this is a file that filelock made; names alone prove nothing."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_MARKER_BYTES:
        return False
    return not status.st_size or bool(_LOCK_MARKER.fullmatch(path.read_bytes()))


def _not_ours(path: Path) -> FileExistsError:
    why = f"{path} is something that charlm did not make; move it away"
    return FileExistsError(errno.EEXIST, why)


def record_file() -> Path:
    """Return the file that contains the record."""
    return cache_folder() / ".charlm-made"


def _names() -> set[str]:
    """Return the names in the record; none if the file is not a record of charlm."""
    with suppress(FileNotFoundError, UnicodeDecodeError):
        if record_file().is_file() and not record_file().is_symlink():
            title, *names = read_bounded(record_file(), _MAX_MEGABYTES).decode().split("\n")
            if title == _TITLE:
                return set(filter(_NAMES.fullmatch, names))
    return set()


def _append(name: str) -> None:
    """Add a name to the record, and wait until it is on the disk."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    number = os.open(record_file(), flags, 0o666)
    try:
        if os.fstat(number).st_size and not _is_record():
            why = f"{record_file()} is not charlm's record; move it away"
            raise FileExistsError(errno.EEXIST, why)
        is_started = os.fstat(number).st_size > 0
        os.write(number, f"\n{name}\n".encode() if is_started else f"{_TITLE}\n{name}\n".encode())
        os.fsync(number)
    finally:
        os.close(number)
    if not is_started:
        sync_folder(record_file().parent)


def _is_record() -> bool:
    with record_file().open("rb") as file:
        return file.readline(len(_TITLE) + 1) == f"{_TITLE}\n".encode()
