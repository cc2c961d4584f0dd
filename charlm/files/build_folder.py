"""Make temporary folders for files that are built and then renamed; remove abandoned ones.

They are in one reserved folder, `.charlm-building`. Each contains a marker that charlm wrote,
and a lock, which the system releases when the process ends. charlm removes only folders with a
marker and a free lock.
"""

import errno
import json
import os
import platform
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from charlm.errors import CharlmError, CorpusError, file_errors
from charlm.files.untrusted import InvalidDataError, as_ascii, parse_json, read_bounded

RESERVED = ".charlm-building"
"""Name of the folder in which charlm builds, beside the final file."""
_MARKER, _LOCK = "made-by-charlm.json", "lock"
_FOREIGN_SECONDS = 86_400.0
"""Age from which a folder of another machine, whose locks may be invisible here, is abandoned."""
_UNMARKED_SECONDS = 60.0
"""Age from which an empty folder without a marker is abandoned.

Its process may still be alive: on a shared file system, it may run in another container.
"""
_unremoved: set[str] = set()
"""Folders of this process that it could not remove, because the disk failed."""
_in_use: set[str] = set()
"""Names of the folders of this process, whose locks it must not test."""


@contextmanager
def building_folder(
    parent: Path,
    remedy: str = "set CHARLM_CACHE to a folder of your own",
    error: type[CharlmError] = CorpusError,
) -> Iterator[Path]:
    """Make a folder below `parent` and remove it after the block, with those of killed processes.

    Raises `error` if it cannot be made.
    """
    with ExitStack() as stack:
        with file_errors("be made", parent, remedy, error):
            parent.mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(built_in(parent))
        yield folder


@contextmanager
def built_in(parent: Path) -> Iterator[Path]:
    """Make a folder below an existing one, like `building_folder`; raises `OSError`."""
    remove_abandoned(parent)
    folder = parent / RESERVED / f"{os.getpid()}-{secrets.token_hex(4)}"
    lock = FileLock(folder / _LOCK, timeout=0)
    _in_use.add(folder.name)
    try:
        _make(folder)
        lock.acquire()
        _mark(folder)
        yield folder
    finally:
        lock.release()
        _remove(folder)
        _in_use.discard(folder.name)
        if os.path.lexists(folder):
            _unremoved.add(folder.name)
        with suppress(OSError):  # another process builds in it
            folder.parent.rmdir()


def remove_abandoned(parent: Path) -> int:
    """Remove the folders of killed processes below `parent`; return the number of freed bytes."""
    freed = 0
    with suppress(OSError):
        if _is_folder(reserved := parent / RESERVED):
            for folder in list(reserved.iterdir()):
                freed += _remove_if_abandoned(folder)
            reserved.rmdir()
    return freed


def _make(folder: Path) -> None:
    """Make a folder in the reserved one, which other processes remove while it is empty."""
    reserved = folder.parent
    while True:
        try:
            reserved.mkdir()
            with suppress(OSError):  # all users who can build in the parent can build here
                reserved.chmod(stat.S_IMODE(reserved.parent.stat().st_mode))
        except FileExistsError:  # the reserved folder, or another file of this name
            with suppress(FileNotFoundError):
                if not _is_folder(reserved):
                    why = f"{RESERVED} in it is not a folder; move it away"
                    raise OSError(errno.ENOTDIR, why) from None
        with suppress(FileNotFoundError):
            folder.mkdir(0o700)
            return


def _remove_if_abandoned(folder: Path) -> int:
    try:
        if not (_is_folder(folder) and _is_ours(folder)):
            return 0
        if not _is_marked(folder):
            _remove_if_empty(folder)
            return 0
        with FileLock(folder / _LOCK, timeout=0):
            pass
        size = sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
    except (Timeout, OSError):  # in use, or just removed
        return 0
    _remove(folder)
    return 0 if folder.exists() else size


def _mark(folder: Path) -> None:
    marker_fields = {"made_by": "charlm", "folder": folder.name, "machine": platform.node()}
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    number = os.open(folder / _MARKER, flags, 0o600)
    try:  # one write, so a marker is never incomplete
        os.write(number, json.dumps(marker_fields | {"process": os.getpid()}).encode())
    finally:
        os.close(number)


def _is_marked(folder: Path) -> bool:
    """Return whether charlm marked the folder and this process does not use it."""
    marker, lock = folder / _MARKER, folder / _LOCK
    if not all(path.is_file() and not path.is_symlink() for path in (marker, lock)):
        return False
    try:
        marker_fields = parse_json(as_ascii(read_bounded(marker, 1)))
    except InvalidDataError:
        return False
    if not isinstance(marker_fields, dict) or marker_fields.get("made_by") != "charlm":
        return False
    if marker_fields.get("folder") != folder.name:  # a copy
        return False
    if marker_fields.get("machine") != platform.node():
        return time.time() - marker.lstat().st_mtime > _FOREIGN_SECONDS
    return folder.name not in _in_use


def _remove(folder: Path) -> None:
    """Remove a folder, its marker last, so that a later call can remove the rest."""
    with suppress(OSError):
        for path in set(folder.iterdir()) - {folder / _MARKER, folder / _LOCK}:
            if _is_folder(path):
                shutil.rmtree(path)
            else:
                path.unlink()
        for name in (_MARKER, _LOCK):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


def _remove_if_empty(folder: Path) -> None:
    """Remove an empty folder whose process was killed before it wrote the marker."""
    inside = list(folder.iterdir())
    if any(path.name not in (_MARKER, _LOCK) or path.lstat().st_size for path in inside):
        return
    maker, _, _ = folder.name.partition("-")
    is_old = time.time() - folder.lstat().st_mtime > _UNMARKED_SECONDS
    is_abandoned = is_old and maker.isdecimal() and folder.name not in _in_use
    if is_abandoned or folder.name in _unremoved:
        for path in inside:
            path.unlink()
        folder.rmdir()
        _unremoved.discard(folder.name)


def _is_folder(path: Path) -> bool:
    """Return whether the path is a folder, and not a link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def _is_ours(path: Path) -> bool:
    """Return whether this user owns the path; always true on systems without owners."""
    return not hasattr(os, "geteuid") or path.lstat().st_uid == os.geteuid()
