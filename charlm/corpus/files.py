"""List the files that paths, folders and globs name, and report what is not read."""

import fnmatch
import glob
import os
import shlex
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from charlm.corpus.catalogue import BUILTIN, catalogue, files_of
from charlm.errors import CorpusError, file_errors
from charlm.files.build_folder import RESERVED
from charlm.suggestions import did_you_mean_path

STANDARD_INPUT_COPY = "standard-input-"
"""Prefix of the names of copies of standard input, in a building folder of the cache."""
_MOST_LISTED_FILES = 3
"""Number of files that a line names; it counts the rest."""
_UNREADABLE_REMEDY = (
    "make it readable, move it away, or name the files to read with a glob, such as "
    "--text 'folder/*.txt'"
)

Report = Callable[[str], None]


def _ignore(notice: str) -> None:
    """Discard a message."""


def find_files(
    paths: Sequence[str], builtin: str | None = None, report: Report = _ignore
) -> list[Path]:
    """Return the files that paths, folders and globs name, each once, in a reproducible order.

    A folder gives all files below it, except hidden ones. A file that is named twice, even through
    a link, keeps its first name. `report` receives a line for each kind of named path that is not
    read. Raises `CorpusError` for a path that cannot be read, so that a text is never incomplete.
    """
    found: list[Path] = files_of(builtin) if builtin is not None else []
    for name in paths:
        with file_errors("be found", name, "check the path", CorpusError):
            files = _files_below(name, report)
        if not files:
            raise CorpusError(f"{name}: no such file, or a folder without files; {_hint(name)}")
        found.extend(files)
    by_place: dict[Path, Path] = {}
    repeated: list[Path] = []
    for path in found:
        if by_place.setdefault(path.resolve(), path) is not path:
            repeated.append(path)
    if repeated:
        report(list_of(repeated, "named more than once, by path or link; read only once"))
    return list(by_place.values())


def _hint(name: str) -> str:
    return hint_of_text(name) or did_you_mean_path(Path(name)) or "check the path"


def hint_of_text(name: str) -> str:
    """Return how to train on the text of this name in the catalogue, or ""."""
    if os.path.basename(name) in (*BUILTIN, *catalogue()):  # noqa: PTH119 - of any text
        return f"for the text of this name, add --set corpus.builtin={os.path.basename(name)}"  # noqa: PTH119
    return ""


def list_of(paths: Sequence[Path], what: str) -> str:
    """Return a line that says `what` of some paths, and names the first of them."""
    more = (
        f" and {len(paths) - _MOST_LISTED_FILES:,} more" if len(paths) > _MOST_LISTED_FILES else ""
    )
    return f"{', '.join(map(shown_name, paths[:_MOST_LISTED_FILES]))}{more}: {what}"


def shown_name(path: Path) -> str:
    """Return the name of a file in messages; a copy of standard input has no path for users."""
    return "standard input" if is_standard_input(path) else str(path)


def is_standard_input(path: Path) -> bool:
    """Return whether a file is charlm's copy of standard input."""
    return path.name.startswith(STANDARD_INPUT_COPY) and RESERVED in path.parts


def _files_below(name: str, report: Report) -> list[Path]:
    if not name:  # an unset shell variable does not mean the current folder
        return []
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - Path's raises for an unknown home
    if path.is_dir():
        return _files_that_match(path, ("**",), report)
    if path.is_file():
        return [path]
    if path.exists():  # a device or a pipe may be endless, and cannot be read twice
        raise CorpusError(
            f"{name}: neither a file nor a folder; save the text to a file, or pass it on "
            "standard input (-)"
        )
    parts = path.parts
    literal = next((k for k, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    try:
        return _files_that_match(Path(*parts[:literal]), parts[literal:], report)
    except ValueError:  # not a file name: it has a zero byte or a lone surrogate
        return []


def _files_that_match(folder: Path, pattern: tuple[str, ...], report: Report) -> list[Path]:
    """Return the files below a folder whose relative paths match the components of a glob.

    `**` matches any folders that are neither hidden nor links, and at the end also their files.
    `Path.glob` would skip folders that it cannot read, and follow cycles of links once for each
    path through them.
    """
    if not pattern or not folder.is_dir():
        return []
    *outer, last = pattern if pattern[-1] != "**" else (*pattern, "*")
    folders = [folder]
    for part in outer:
        folders = _folders_below(folders) if part == "**" else _folders_that_match(folders, part)
    found: list[Path] = []
    links: list[Path] = []
    special: list[Path] = []
    for path, mode in _matches(folders, last):
        if stat.S_ISREG(mode):
            found.append(path)
        elif not stat.S_ISDIR(mode):
            special.append(path)
        elif "**" in outer and path.is_symlink():
            links.append(path)
    if links:
        report(list_of(sorted(links), "link to a folder, not read; name it to read it too"))
    if special:
        report(list_of(sorted(special), "neither a file nor a folder, not read"))
    return sorted(found)


def _folders_that_match(folders: Sequence[Path], part: str) -> list[Path]:
    """Return the subfolders of folders whose names match, each once even if links repeat it."""
    visited: set[tuple[int, int]] = set()
    matches = [path for path, mode in _matches(folders, part) if stat.S_ISDIR(mode)]
    return [path for path in matches if _is_new(path, visited)]


def _folders_below(folders: Sequence[Path]) -> list[Path]:
    """Return some folders and all below them, except hidden ones and links, each once."""
    visited: set[tuple[int, int]] = set()
    found = [folder for folder in folders if _is_new(folder, visited)]
    for folder in found:  # the list grows meanwhile
        inside = _matches([folder], "*", with_links=False)
        found += [path for path, mode in inside if stat.S_ISDIR(mode) and _is_new(path, visited)]
    return found


def _matches(
    folders: Sequence[Path], part: str, with_links: bool = True
) -> Iterator[tuple[Path, int]]:
    """Yield what is in some folders and matches one component of a glob, with its mode.

    Raises `CorpusError` for a folder that cannot be listed and for a broken link.
    """
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


def exclusion_remedy(path: Path, named: Sequence[str], files: Sequence[Path]) -> str:
    """Return how to exclude a file that is not text; "" if the user has named the file itself.

    `named` are the paths of the config, `files` the files that they name.
    """
    folders = [Path(os.path.expanduser(name)) for name in named]  # noqa: PTH111
    if path in folders:
        return ""
    folder = next((folder for folder in folders if folder in path.parents), None)
    if folder is None:
        has_globs = any(map(glob.has_magic, named))
        return "exclude it with a glob that does not match it" if has_globs else ""
    endings = Counter(file.suffix for file in files if folder in file.parents)
    del endings[""], endings[path.suffix]
    if not endings:
        return f"move it out of {folder}"
    ending = endings.most_common(1)[0][0]
    pattern = Path(glob.escape(str(folder))) / "**" / f"*{ending}"
    return f"read only the {ending} files: --text {shlex.quote(str(pattern))}"
