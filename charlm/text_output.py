"""Where generated text goes: to a terminal, a pipe or a new file."""

import codecs
import sys
from pathlib import Path

from charlm.errors import CharlmError, file_errors
from charlm.terminal import generated_for_terminal

_REMEDY = "free some space, or choose another --output"


class TextOutput:
    """Writes bytes as they come.

    A pipe and a file get them as they are. A terminal gets characters that it does not obey, and
    U+FFFD for bytes that are not UTF-8.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Write to standard output, or to a file that is made now and must not exist."""
        self._path = path
        self._file = None
        if path is not None:
            with file_errors("be made", path, "choose another --output", CharlmError):
                self._file = path.open("xb")
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def is_exact(self) -> bool:
        """Whether what is written there is what programs read."""
        return self._file is not None or not (sys.stdout.isatty() or _has_no_bytes())

    def write(self, piece: bytes) -> None:
        """Write, so that a reader sees it at once."""
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
        """Write what is left: a character that is not whole."""
        if self._file is not None and self._path is not None:
            with file_errors("be written", self._path, _REMEDY, CharlmError):
                self._file.close()
        elif not self.is_exact:
            self._show(self._decoder.decode(b"", final=True))

    def _show(self, text: str) -> None:
        print(generated_for_terminal(text, sys.stdout), end="", flush=True)


def check_is_new(path: Path) -> None:
    """Raise `CharlmError` now, and not after minutes, where a file cannot be made."""
    if path.exists() or path.is_symlink():
        raise CharlmError(f"{path}: exists already; choose another --output, or remove it")
    if not path.absolute().parent.is_dir():
        raise CharlmError(f"{path}: there is no such folder; make it, or choose another --output")


def _has_no_bytes() -> bool:
    """Return whether standard output is one of text alone, as a program may put in its place."""
    return not hasattr(sys.stdout, "buffer")
