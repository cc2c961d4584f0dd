"""Make the paths in a config absolute."""

import glob
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from charlm.files.locations import expand_home

_PATHS = {
    "corpus": ("paths", "validation_paths", "test_paths", "encodings"),
    "training": ("start_from", "teachers"),
}
"""Keys whose values are paths, or values by path."""


def anchor_paths(keys: dict[Any, Any], folder: Path) -> None:
    """Make paths absolute, so that a run can be resumed and evaluated from any folder."""
    for section, names in _PATHS.items():
        values = keys.get(section)
        if not isinstance(values, dict):
            continue
        for name in names:
            value = values.get(name)
            if isinstance(value, str):
                values[name] = absolute(value, folder)
            elif isinstance(value, dict) and all(isinstance(path, str) for path in value):
                values[name] = {absolute(path, folder): of for path, of in value.items()}
            elif isinstance(value, list | tuple) and all(isinstance(path, str) for path in value):
                values[name] = [absolute(path, folder) for path in value]


def absolute(path: str, folder: Path) -> str:
    """Return a path relative to `folder` as an absolute one; `-` stays standard input."""
    if path in ("", "-"):
        return path
    path = _as_name(expand_home(path))
    is_pattern = glob.has_magic(path) and not os.path.exists(folder / path)  # noqa: PTH110 - never raises
    return str(Path(glob.escape(str(folder)) if is_pattern else folder) / path)


def _as_name(path: str) -> str:
    """Return a path in a form that Python encodes as UTF-8 in any locale."""
    with suppress(UnicodeError):
        try:
            os.fsencode(path)
        except UnicodeEncodeError:
            return os.fsdecode(path.encode())
    return path
