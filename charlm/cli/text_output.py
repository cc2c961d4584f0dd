"""Write generated text to a terminal, a pipe or a new file."""

import codecs
import sys
from pathlib import Path

from charlm.cli.terminal import generated_for_terminal
from charlm.errors import CharlmError, file_errors

_REMEDY = "free some space, or choose another --output"


class TextOutput:
    """Writes bytes without delay: unchanged to a pipe or a file, as safe characters to a terminal.

    A terminal receives replacements for control characters, and U+FFFD for bytes that are not
    UTF-8.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Write to standard output, or create a new file; raises `CharlmError` if it exists."""
        self._path = path
        self._file = None
        if path is not None:
            with file_errors("be created", path, "choose another --output", CharlmError):
                self._file = path.open("xb")
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def is_exact(self) -> bool:
        """Whether the output receives the bytes unchanged."""
        return self._file is not None or not (sys.stdout.isatty() or _takes_only_text())

    def write(self, piece: bytes) -> None:
        """Write and flush a piece."""
        if self._file is not None and self._path is not None:
            with file_errors("be written", self._path, _REMEDY, CharlmError):
                self._file.write(piece)
                self._file.flush()
        elif self.is_exact:
            sys.stdout.flush()
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
        else:
            self._show(self._decoder.decode(piece))

    def close(self) -> None:
        """Close the file, or write an incomplete last character."""
        if self._file is not None and self._path is not None:
            with file_errors("be written", self._path, _REMEDY, CharlmError):
                self._file.close()
        elif not self.is_exact:
            self._show(self._decoder.decode(b"", final=True))

    def _show(self, text: str) -> None:
        print(generated_for_terminal(text, sys.stdout), end="", flush=True)


def _takes_only_text() -> bool:
    """Return whether standard output takes only text, like a stream that a calling program sets."""
    return not hasattr(sys.stdout, "buffer")
