"""Find out what a stream can show: redrawn lines, block characters, and how many columns."""

import locale
import os
import shutil
from typing import TextIO

from rich.console import detect_legacy_windows

_FALLBACK_COLUMNS = 80


def can_redraw(stream: TextIO) -> bool:
    """Return whether a line of the stream can be erased: on a terminal, not in a notebook.

    A kernel of Jupyter gives its commands a terminal, but the page shows each version of a line.
    Old Windows consoles, where TERM is not set, print the escape codes as text.
    """
    terminal = os.environ.get("TERM", "" if os.name == "posix" else "windows")
    is_able = terminal not in ("", "dumb", "unknown") and not detect_legacy_windows()
    return stream.isatty() and is_able and "JPY_PARENT_PID" not in os.environ


def can_style(stream: TextIO) -> bool:
    """Return whether bold and dim text may be written to the stream; NO_COLOR forbids it."""
    return can_redraw(stream) and not os.environ.get("NO_COLOR")


def can_encode(text: str, stream: TextIO) -> bool:
    """Return whether the stream and the locale have all characters of a text.

    Python writes UTF-8 also in the C locale, whose terminals may not show it. On Windows, the
    locale is not that of the console.
    """
    encodings = [getattr(stream, "encoding", None) or "utf-8"]
    if os.name == "posix":
        encodings.append(locale.getencoding())
    try:
        for encoding in encodings:
            text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def columns(stream: TextIO) -> int:
    """Return the current width of a terminal, which may have been resized; 80 for other streams."""
    if not stream.isatty():
        return _FALLBACK_COLUMNS
    try:
        width = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        width = 0
    return width or shutil.get_terminal_size((_FALLBACK_COLUMNS, 0)).columns
