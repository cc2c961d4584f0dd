"""Folders in which something is built before it takes its place."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from charlm.errors import CharlmError, CorpusError, file_errors

_PREFIX = "building-"
_YOUNG = 60.0
"""Seconds: a younger folder may be one whose maker has not locked it yet."""


@contextmanager
def building_folder(
    parent: Path,
    remedy: str = "set CHARLM_CACHE to a folder of yours",
    error: type[CharlmError] = CorpusError,
) -> Iterator[Path]:
    """Make a folder that is gone afterwards; one that a killed process has left goes now.

    Its lock says that it is in use: the system takes that from a process that ends in any way.
    Raises `error` where none can be made.
    """
    with file_errors("be made", parent, remedy, error):
        parent.mkdir(parents=True, exist_ok=True)
        for folder in parent.glob(f"{_PREFIX}*"):
            _remove_if_left(folder)
        made = tempfile.TemporaryDirectory(prefix=_PREFIX, dir=parent, ignore_cleanup_errors=True)
    with made:
        lock = _lock_of(Path(made.name))
        with file_errors("be locked", lock.lock_file, remedy, error):
            lock.acquire()
        try:
            yield Path(made.name)
        finally:
            lock.release()


def _remove_if_left(folder: Path) -> None:
    try:
        if time.time() - folder.stat().st_mtime < _YOUNG:
            return
        with _lock_of(folder):
            pass
    except (Timeout, OSError):  # it is in use, or somebody else's, or has just gone
        return
    shutil.rmtree(folder, ignore_errors=True)


def _lock_of(folder: Path) -> FileLock:
    return FileLock(folder / ".lock", timeout=0)
