"""Keep the text of standard input in a run folder, and recognise charlm's copy of it later."""

import hashlib
import json
from pathlib import Path

from charlm.corpus.blocks import copy_standard_input
from charlm.errors import RunError, file_errors
from charlm.files.atomic import sync
from charlm.files.untrusted import InvalidDataError, as_ascii, parse_json, read_bounded

_COPY, _MARKER = "standard-input.txt", ".standard-input.json"
_WRITE_REMEDY = "free some space, or choose another folder with --runs"


def path_of_copy(folder: Path) -> Path:
    """Return the path of the copy in a run folder."""
    return folder / _COPY


def keep_standard_input(folder: Path) -> None:
    """Copy standard input to a new file in a run folder, with a marker that has its digest."""
    path = path_of_copy(folder)
    with file_errors("be written", path, _WRITE_REMEDY, RunError):
        with path.open("xb") as file:
            copy_standard_input(file)
        sync(path)
        (folder / _MARKER).write_text(json.dumps(_marker_of(path)), "ascii")


def own_copy(folder: Path) -> list[Path]:
    """Return the copy and its marker if charlm wrote both and nobody has changed them, else []."""
    path, marker = path_of_copy(folder), folder / _MARKER
    if any(one.is_symlink() or not one.is_file() for one in (path, marker)):
        return []
    try:
        is_ours = parse_json(as_ascii(read_bounded(marker, 1))) == _marker_of(path)
    except (InvalidDataError, OSError):
        return []
    return [path, marker] if is_ours else []


def _marker_of(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"made_by": "charlm", "file": path.name, "sha256": digest}
