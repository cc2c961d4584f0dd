"""Match globs; report what cannot be read, and visit each folder once.

`Path.glob` skips folders that it cannot read, and follows a cycle of links once for each path
through it.
"""

import fnmatch
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from charlm.errors import CorpusError, file_errors

_UNREADABLE_REMEDY = (
    "make it readable, move it away, or name the files to read with a glob, such as "
    "--text 'folder/*.txt'"
)


def matches(folder: Path, pattern: Sequence[str]) -> Iterator[tuple[Path, int]]:
    """Yield the paths below a folder that match the components of a glob, with their modes.

    `**` matches any folders that are neither hidden nor links, and at the end also their files.
    Raises `CorpusError` for a folder that cannot be listed, and for a broken link.
    """
    if not pattern or not folder.is_dir():
        return
    *outer, last = pattern if pattern[-1] != "**" else (*pattern, "*")
    folders = [folder]
    for part in outer:
        folders = _folders_below(folders) if part == "**" else _folders_that_match(folders, part)
    yield from _children(folders, last)


def _folders_that_match(folders: Sequence[Path], part: str) -> list[Path]:
    """Return the subfolders of folders whose names match, each once even if links repeat it."""
    visited: set[tuple[int, int]] = set()
    found = [path for path, mode in _children(folders, part) if stat.S_ISDIR(mode)]
    return [path for path in found if _is_new(path, visited)]


def _folders_below(folders: Sequence[Path]) -> list[Path]:
    """Return folders and all folders below them, except hidden ones and links, each once."""
    visited: set[tuple[int, int]] = set()
    found = [folder for folder in folders if _is_new(folder, visited)]
    for folder in found:  # the list grows meanwhile
        inside = _children([folder], "*", with_links=False)
        found += [path for path, mode in inside if stat.S_ISDIR(mode) and _is_new(path, visited)]
    return found


def _children(
    folders: Sequence[Path], part: str, with_links: bool = True
) -> Iterator[tuple[Path, int]]:
    """Yield the paths in folders whose names match one component of a glob, with their modes."""
    for folder in folders:
        with file_errors("be listed", folder, _UNREADABLE_REMEDY, CorpusError):
            paths = sorted(folder.iterdir())
        for path in paths:
            is_visible = part.startswith(".") or not path.name.startswith(".")
            if not (is_visible and fnmatch.fnmatch(path.name, part)):
                continue
            with file_errors("be read", path, _UNREADABLE_REMEDY, CorpusError):
                if not with_links and path.is_symlink():
                    continue
                mode = path.stat().st_mode
            yield path, mode


def _is_new(folder: Path, visited: set[tuple[int, int]]) -> bool:
    """Add a folder to the visited ones; return whether it is new."""
    with file_errors("be listed", folder, _UNREADABLE_REMEDY, CorpusError):
        status = folder.stat()
    place = (status.st_dev, status.st_ino)
    is_new = place not in visited
    visited.add(place)
    return is_new
