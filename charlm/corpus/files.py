"""List the files that paths, folders and globs name, and report what is not read."""

import fnmatch
import glob
import os
import shlex
import stat
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from charlm.corpus.catalogue import BUILTIN, catalogue, files_of
from charlm.errors import CorpusError, file_errors
from charlm.suggestions import did_you_mean_path

_MOST_NAMED = 3
"""Number of files that a line names; it counts the others."""
_LEAVE_OUT = (
    "make it readable, move it away, or name the files to read with a glob, such as "
    "--text 'folder/*.txt'"
)

Say = Callable[[str], None]


def _ignore(notice: str) -> None:
    """Discard a message."""


def find_files(paths: Sequence[str], builtin: str | None = None, say: Say = _ignore) -> list[Path]:
    """Return the files that paths, folders and globs name, each once, in a reproducible order.

    A folder gives all files below it, except hidden ones. A file that is named twice, also through
    a link, keeps its first name. `say` receives a line for each kind of named path that is not
    read. Raises `CorpusError` for a path that cannot be read, so that a text is never incomplete.
    """
    found: list[Path] = files_of(builtin) if builtin is not None else []
    for name in paths:
        with file_errors("be found", name, "check the path", CorpusError):
            files = _files_below(name, say)
        if not files:
            raise CorpusError(f"{name}: no such file, or a folder without files; {_hint(name)}")
        found.extend(files)
    by_place: dict[Path, Path] = {}
    repeated: list[Path] = []
    for path in found:
        if by_place.setdefault(path.resolve(), path) is not path:
            repeated.append(path)
    if repeated:
        say(list_of(repeated, "named more than once, by path or link; read only once"))
    return list(by_place.values())


def _hint(name: str) -> str:
    if os.path.basename(name) in (*BUILTIN, *catalogue()):  # noqa: PTH119 - of any text
        return f"for the text of this name use --set corpus.builtin={os.path.basename(name)}"  # noqa: PTH119
    return did_you_mean_path(Path(name)) or "check the path"


def list_of(paths: Sequence[Path], what: str) -> str:
    """Return a line that says `what` of some paths, and names the first of them."""
    more = f" and {len(paths) - _MOST_NAMED:,} more" if len(paths) > _MOST_NAMED else ""
    return f"{', '.join(map(str, paths[:_MOST_NAMED]))}{more}: {what}"


def _files_below(name: str, say: Say) -> list[Path]:
    if not name:  # an unset shell variable does not mean the current folder
        return []
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - Path's raises for an unknown home
    if path.is_dir():
        return _files_that_match(path, ("**",), say)
    if path.is_file():
        return [path]
    if path.exists():  # a device or a pipe may never end, and cannot be read twice
        raise CorpusError(
            f"{name}: neither a file nor a folder; save the text to a file, or pass it on "
            "standard input (-)"
        )
    parts = path.parts
    literal = next((k for k, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    try:
        return _files_that_match(Path(*parts[:literal]), parts[literal:], say)
    except ValueError:  # not a file name: it has a zero byte or a lone surrogate
        return []


def _files_that_match(folder: Path, pattern: tuple[str, ...], say: Say) -> list[Path]:
    """Return the files below a folder whose relative paths match a glob, given as its parts.

    `**` matches any folders that are neither hidden nor links, and at the end also their files.
    No folder is read twice with the same rest of the pattern, so that cycles of links end.
    """
    if not folder.is_dir():
        return []
    found: list[Path] = []
    seen = set()
    links: list[Path] = []
    odd: list[Path] = []
    to_read = [(folder, frozenset([pattern]))]
    while to_read:
        folder, patterns = to_read.pop()
        with file_errors("be listed", folder, _LEAVE_OUT, CorpusError):
            about = folder.stat()
            if (key := (about.st_dev, about.st_ino, patterns)) in seen:
                continue
            seen.add(key)
            paths = list(folder.iterdir())
        for path in paths:
            with file_errors("be read", path, _LEAVE_OUT, CorpusError):
                left = frozenset(rest for p in patterns for rest in _left(p, path))
                if not left:
                    continue
                mode = path.stat().st_mode  # also fails for a broken link
                is_link = path.is_symlink()
            deeper = left - {()}
            if stat.S_ISDIR(mode):
                if deeper:
                    to_read.append((path, deeper))
                if is_link and any(p[0] == "**" for p in patterns if p):
                    links.append(path)
            elif () in left:
                (found if stat.S_ISREG(mode) else odd).append(path)
    if links:
        say(list_of(sorted(links), "link to a folder, not read; name it to read it too"))
    if odd:
        say(list_of(sorted(odd), "neither a file nor a folder, not read"))
    return sorted(found)


def _left(pattern: tuple[str, ...], path: Path) -> list[tuple[str, ...]]:
    """Match the first parts of a pattern with a path's name; return the possible rests."""
    if not pattern:
        return []
    first, *others = pattern
    rest, is_hidden = tuple(others), path.name.startswith(".")
    if first != "**":
        is_meant = first.startswith(".") or not is_hidden
        return [rest] if is_meant and fnmatch.fnmatch(path.name, first) else []
    stays = [] if is_hidden or path.is_symlink() else [pattern]
    return [*stays, *([()] if not rest and not is_hidden else _left(rest, path))]


def how_to_leave_out(path: Path, named: Sequence[str], files: Sequence[Path]) -> str:
    """Return a remedy for a file that is not text: how to exclude it; "" if it was named itself.

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
