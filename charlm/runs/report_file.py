"""Tell whether a file is a report, which charlm may replace."""

import os
from pathlib import Path

from charlm.errors import CharlmError, file_errors

_GENERATOR = b'<meta name="generator" content="charlm '
_TITLE = b'<meta name="charlm-page" content="report">'
_HEAD_BYTES = 4096


def is_report(path: Path) -> bool:
    """Return whether charlm has written a file as a report; raises `OSError` for other things."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return head.startswith(b"<!doctype html>") and _GENERATOR in head and _TITLE in head


def check_can_be_replaced(path: Path) -> None:
    """Raise `CharlmError` for something at this path that is no report, and so must stay."""
    with file_errors("be read", path, "choose another file", CharlmError):
        if os.path.lexists(path) and not is_report(path):
            raise CharlmError(
                f"{path}: exists already, and is not a report of charlm; choose another -o, or "
                "move it away"
            )
