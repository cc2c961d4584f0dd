"""Name new runs for the texts that they are trained on, and check names that a user gives."""

import glob
import os
import re
import unicodedata
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from charlm.errors import RunError
from charlm.files.locations import expand_home

_MAX_NAME_CHARACTERS = 60
"""Longest name without its number; in UTF-8 it has at most 240 bytes, and a file name 255."""


def name_from_text(paths: Sequence[str | Path]) -> str:
    """Return a name for runs on a text: its first file or folder, without the ending.

    For a glob, it is the folder that the glob searches. The name is plain: letters, digits,
    `.`, `_` and `-`, with a letter or digit first, so that no shell needs quotes and no command
    mistakes it for an option.
    """
    first = str(paths[0])
    if first == "-":
        return "stdin"
    path = Path(os.path.abspath(expand_home(first)))  # noqa: PTH100 - it never raises
    name = path.name
    if glob.has_magic(first) and not os.path.lexists(path):
        before = takewhile(lambda part: not glob.has_magic(part), path.parts)
        name = Path(*before).name
    elif not os.path.isdir(path):  # noqa: PTH112 - never raises
        name = _without_ending(name)
    plain = "".join(character if _is_plain(character) else "-" for character in name)
    plain = re.sub(r"-{2,}", "-", plain)
    plain = re.sub(r"^[\W_]+", "", plain)[:_MAX_NAME_CHARACTERS]
    return plain.rstrip("-._") or "text"


def check_is_free(runs: Path, name: str) -> None:
    """Raise `RunError` if a run cannot be created under this name."""
    check_name(name)
    if os.path.lexists(runs / name):
        raise exists_already(runs / name)


def exists_already(path: Path) -> RunError:
    """Return the error for a new run at a path that exists."""
    return RunError(
        f"{path}: exists already; choose another --name, or resume it with "
        f"`charlm train --resume {path}`"
    )


def check_name(name: str) -> None:
    """Raise `RunError` for a name that a run folder cannot have."""
    if not _is_file_name(name):
        raise RunError(
            f"--name {name!r}: should be the name of a folder, with characters that can be "
            "printed; --runs gives its parent folder"
        )
    if name.startswith("."):
        raise RunError(f"--name {name}: must not begin with a dot; choose another name")


def _without_ending(name: str) -> str:
    """Return the name of a file without endings such as .txt and .txt.gz."""
    name = re.sub(r"(?<=.)\.gz$", "", name, flags=re.IGNORECASE)
    return re.sub(r"(?<=.)\.[A-Za-z]\w{0,7}$", "", name)


def _is_plain(character: str) -> bool:
    """Return whether a character is of a word, such as a letter with its marks, or one of `._-`."""
    is_mark = unicodedata.category(character).startswith("M")
    return character.isalnum() or is_mark or character in "._-"


def _is_file_name(name: str) -> bool:
    try:
        possible = b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:  # a lone surrogate
        return False
    is_visible = all(map(is_shown, name))
    return possible and is_visible and Path(name).name == name and name not in ("", "..")


def is_shown(character: str) -> bool:
    """Return whether a character is visible in a printed run name; all spaces count as visible."""
    return character.isprintable() or unicodedata.category(character) == "Zs"
