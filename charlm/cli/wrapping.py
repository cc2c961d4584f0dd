"""Wrap messages between words on a terminal, so that a command in them can be copied."""

import re
import sys
import textwrap
from typing import TextIO

from charlm.cli.screen import columns
from charlm.cli.terminal import for_terminal

_LEAST_COLUMNS = 10
_KEPT_SPACE = "\0"
"""Stands for a space that no line ends at; a message for a terminal has no control characters."""


def filled(text: str, width: int) -> str:
    """Wrap each line of a text between words to `width` columns.

    Long words and words with hyphens stay whole, and so do commands in backticks that fit a line.
    """
    return "\n".join(_filled_line(line, max(_LEAST_COLUMNS, width)) for line in text.split("\n"))


def _filled_line(line: str, width: int) -> str:
    def keep_whole(command: re.Match[str]) -> str:
        return command[0].replace(" ", _KEPT_SPACE) if len(command[0]) < width else command[0]

    line = re.sub(r"`[^`]+`", keep_whole, line)
    filled_line = textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)
    return filled_line.replace(_KEPT_SPACE, " ")


def filled_for(stream: TextIO, text: str) -> str:
    """Return a message in the form for `stream`: wrapped on a terminal, unchanged in a pipe."""
    if not stream.isatty():
        return text
    return filled(for_terminal(text, stream), columns(stream) - 1)


def print_error(message: str, start: str = "charlm: ") -> None:
    """Print an error or a warning to standard error, without loading Rich."""
    print(filled_for(sys.stderr, f"{start}{message}"), file=sys.stderr)
