"""The file `environment.json`: an entry for each start of a run, with the result of a complete one.

Resuming a run adds an entry; the last entry shows the state of the run.
"""

import json
from pathlib import Path
from typing import Any

from charlm.errors import file_errors
from charlm.files.untrusted import InvalidDataError, as_ascii, parse_json, read_bounded
from charlm.runs.logs import foreign_file_error

RESULT = "result"
"""Key of the result in an entry."""


def read_starts(path: Path) -> list[dict[str, Any]]:
    """Return the entries of the file; a missing or empty file has none.

    Raises `RunError` for a file that is not charlm's.
    """
    with file_errors("be read", path, "check the file"):
        data = read_bounded(path, megabytes=16) if path.exists() else b""
    try:
        entries = parse_json(as_ascii(data)) if data else []
    except InvalidDataError:
        entries = None
    if type(entries) is list and all(type(one) is dict and "began" in one for one in entries):
        return entries
    raise foreign_file_error(path)


def to_text(starts: list[dict[str, Any]]) -> str:
    """Return the content of a file with these entries."""
    return json.dumps(starts, indent=1, allow_nan=False) + "\n"
