"""List the files that paths, folders and globs name, and report what is not read."""

import glob
import os
import shlex
import stat
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from charlm.corpus.builtin_texts import BUILTIN
from charlm.corpus.catalogue import catalogue, download_path, files_of
from charlm.corpus.globs import matches
from charlm.errors import CorpusError, file_errors
from charlm.files.build_folder import RESERVED
from charlm.files.locations import expand_home
from charlm.suggestions import did_you_mean_path

STANDARD_INPUT_COPY = "standard-input-"
"""Prefix of the names of copies of standard input, in a building folder of the cache."""
_MAX_LISTED_FILES = 3
"""Largest number of files that a line names; it counts the rest."""
Report = Callable[[str], None]


def _ignore(notice: str) -> None:
    """Discard a message."""


def find_files(
    paths: Sequence[str],
    builtin: str | None = None,
    report: Report = _ignore,
    *,
    is_setting: bool = True,
) -> list[Path]:
    """Return the files that paths, folders and globs name, each once, in a reproducible order.

    A folder gives all files below it, except hidden ones. A file that is named twice, even through
    a link, keeps its first name. `report` receives a line for each kind of named path that is not
    read. Raises `CorpusError` for a path that cannot be read, so that a text is never incomplete.
    Its message names settings as remedies, unless there is no way to set them (`is_setting`).
    """
    found: list[Path] = files_of(builtin) if builtin is not None else []
    for name in paths:
        with file_errors("be found", name, "check the path", CorpusError):
            files = _files_below(name, report)
        if not files:
            raise CorpusError(
                f"{name}: no such file, or a folder without files; {_hint(name, is_setting)}"
            )
        found.extend(files)
    by_place: dict[Path, Path] = {}
    repeated: list[Path] = []
    for path in found:
        if by_place.setdefault(path.resolve(), path) is not path:
            repeated.append(path)
    if repeated:
        report(list_of(repeated, "named more than once, by path or link; read only once"))
    return list(by_place.values())


def _hint(name: str, is_setting: bool) -> str:
    return hint_of_text(name, is_setting) or did_you_mean_path(Path(name)) or "check the path"


def hint_of_text(name: str, is_setting: bool = True) -> str:
    """Return how to read the text of this name in the catalogue, or ""."""
    known = os.path.basename(name)  # noqa: PTH119 - accepts any text
    if known not in (*BUILTIN, *catalogue()):
        return ""
    if is_setting:
        return f"for the text of this name, add --set corpus.builtin={known}"
    if known in BUILTIN or download_path(known).exists():
        return f"the text of this name is {shlex.quote(str(files_of(known)[0]))}"
    return f"`charlm data get {known}` downloads the text of this name, and prints its path"


def list_of(paths: Sequence[Path], what: str) -> str:
    """Return a line that says `what` of some paths, and names the first of them."""
    more = f" and {len(paths) - _MAX_LISTED_FILES:,} more" if len(paths) > _MAX_LISTED_FILES else ""
    return f"{', '.join(map(shown_name, paths[:_MAX_LISTED_FILES]))}{more}: {what}"


def shown_name(path: Path) -> str:
    """Return the name of a file in messages; a copy of standard input has no path for users."""
    return "standard input" if is_standard_input(path) else str(path)


def is_standard_input(path: Path) -> bool:
    """Return whether a file is charlm's copy of standard input."""
    return path.name.startswith(STANDARD_INPUT_COPY) and RESERVED in path.parts


def _files_below(name: str, report: Report) -> list[Path]:
    if not name:  # an unset shell variable does not mean the current folder
        return []
    path = Path(expand_home(name))
    if path.is_dir():
        return _files_that_match(path, ("**",), report)
    if path.is_file():
        return [path]
    if path.exists():  # a device or pipe may never end, and cannot be read twice
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
    """Return the files that match the components of a glob; report links and devices that do."""
    found: list[Path] = []
    links: list[Path] = []
    special: list[Path] = []
    for path, mode in matches(folder, pattern):
        if stat.S_ISREG(mode):
            found.append(path)
        elif not stat.S_ISDIR(mode):
            special.append(path)
        elif "**" in pattern and path.is_symlink():
            links.append(path)
    if links:
        report(list_of(sorted(links), "link to a folder, not read; name it to read it too"))
    if special:
        report(list_of(sorted(special), "neither a file nor a folder, not read"))
    return sorted(found)


def exclusion_remedy(path: Path, named: Sequence[str], files: Sequence[Path]) -> str:
    """Return how to exclude a file that is not text; "" if the user has named the file itself.

    `named` are the paths of the config, `files` the files that they name.
    """
    folders = [Path(expand_home(name)) for name in named]
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
