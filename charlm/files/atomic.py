"""Crash-safe file writes: after a crash either the old or the new content is there."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path

from charlm.errors import CharlmError
from charlm.files.build_folder import built_in
from charlm.files.locations import from_user


def write_whole(path: Path, data: bytes, *, is_new: bool = False, mode: int | None = None) -> None:
    """Write a file atomically: synchronise a temporary file, then rename it.

    With `is_new`, raise `FileExistsError` if the file exists. Without `mode`, it has the default
    permissions of the process.
    """
    with built_in(path.parent) as folder:
        whole = (
            folder / "whole"
        )  # not `path.name`, which may equal the name of the lock or the marker
        with whole.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            whole.chmod(mode)
        if is_new:
            _take_place(whole, path)
        else:
            whole.replace(path)
    sync_folder(path.parent)


@contextmanager
def new_file(path: Path) -> Iterator[BufferedIOBase]:
    """Yield a file to write that appears at `path` only if the block ends without an error.

    Raises `FileExistsError` if the path exists then.
    """
    with built_in(path.parent) as folder:
        whole = folder / "whole"
        with whole.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _take_place(whole, path)
    sync_folder(path.parent)


def path_of_new(
    given: str | os.PathLike[str], option: str, error: type[CharlmError] = CharlmError
) -> Path:
    """Return the path of the new file that a user gives to an option, with `~` expanded.

    Raises `error`, before minutes of work, if the file cannot be created.
    """
    path = from_user(given)
    if os.path.lexists(path):
        raise error(f"{path}: exists already; choose another {option}, or move it away")
    folder = path.absolute().parent
    if not os.path.isdir(folder):  # noqa: PTH112 - Path's raises for a folder of another user
        raise error(f"{folder}: no such folder; create it, or choose another {option}")
    return path


def _take_place(file: Path, place: Path) -> None:
    """Move a file unless the target exists; a hard link checks and creates in one step."""
    try:
        place.hardlink_to(file)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(place):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        file.rename(place)


def sync(path: Path) -> None:
    """Wait until the content of a file is on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until new names in a folder are on the disk; Windows has no such call."""
    if os.name == "nt":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
