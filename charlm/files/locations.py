"""Find the configs and texts that ship with charlm, its cache folder, and paths from users."""

import os
from pathlib import Path

import platformdirs

from charlm.errors import CharlmError

ANOTHER_CACHE = "free some space or set CHARLM_CACHE to a folder of your own"
"""Remedy if charlm cannot write to the cache."""
_PACKAGE = Path(__file__).parent.parent


def shipped(kind: str) -> Path:
    """Return the folder `configs` or `data`: in an installed package, beside it in a checkout."""
    installed = _PACKAGE / kind
    return installed if installed.is_dir() else _PACKAGE.parent / kind


def cache_folder() -> Path:
    """Return the folder for encoded texts and downloads: `CHARLM_CACHE`, or the system's."""
    named = os.environ.get("CHARLM_CACHE")
    return from_user(named) if named else _system_cache()


def _system_cache() -> Path:
    try:
        path = platformdirs.user_cache_path("charlm")
    except RuntimeError:  # the system does not know this user, for example in a container
        path = Path()
    if not path.is_absolute():
        raise CharlmError("this user has no home folder; set CHARLM_CACHE to a folder of your own")
    return path


def from_user(path: str | os.PathLike[str]) -> Path:
    """Return a path that a user gave, with `~` expanded to a home folder.

    Raises `CharlmError` if there is no such home folder, and no file of that name.
    """
    expanded = expand_home(path)
    first = Path(expanded).parts[:1]
    if first and first[0].startswith("~") and not os.path.lexists(first[0]):
        raise CharlmError(f"{path}: no home folder {first[0]} exists; give the full path")
    return Path(expanded)


def expand_home(path: str | os.PathLike[str]) -> str:
    """Return a path with `~` expanded to a home folder, or unchanged if there is no such home."""
    try:
        return os.path.expanduser(os.fspath(path))  # noqa: PTH111 - Path's raises
    except ValueError:  # NUL after the tilde
        return os.fspath(path)
