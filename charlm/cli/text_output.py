"""Write generated text to a terminal, a pipe or a new file."""

import codecs
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from charlm.cli.screen import columns
from charlm.cli.terminal import generated_for_terminal
from charlm.cli.word_wrapping import WordWrapper
from charlm.errors import CharlmError, file_errors

_LEAST_COLUMNS = 10
_REMEDY = "free some space, or choose another --output"


class TextOutput:
    """Writes bytes without delay: unchanged to a pipe or a file, as safe characters to a terminal.

    A terminal receives replacements for control characters, U+FFFD for bytes that are not UTF-8,
    and whole words: a line ends between them.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Write to standard output, or create a new file; raises `CharlmError` if it exists."""
        self._path = path
        self._file = None
        if path is not None:
            with file_errors("be created", path, "choose another --output", CharlmError):
                self._file = path.open("xb")
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._words = WordWrapper()
        self._ends_line = True

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

    def write_plain(self, text: str) -> None:
        """Write what is not generated, such as a heading or the code of a style, unchanged."""
        if self.is_exact:
            TextOutput.write(self, text.encode())
        else:
            self._finish_word()
            self._print(text)
            if text.endswith("\n"):
                self._words.begin_line()

    def write_mark(self, mark: str) -> None:
        """Write a mark, or the code of a style, in the text."""
        if sys.stdout.isatty() and not self.is_exact:
            self._words.add_mark(mark)
        else:
            self.write_plain(mark)

    def finish(self) -> None:
        """End a text, before something else is written."""
        self._finish_word()

    def close(self) -> None:
        """Close the file, or write an incomplete last character."""
        if self._file is not None and self._path is not None:
            with file_errors("be written", self._path, _REMEDY, CharlmError):
                self._file.close()
        elif not self.is_exact:
            self._show(self._decoder.decode(b"", final=True))
            self._finish_word()

    @contextmanager
    def own_line_for_prompt(self) -> Iterator[None]:
        """End the line on a terminal if Ctrl-C interrupts the block: the prompt comes next."""
        try:
            yield
        except KeyboardInterrupt:
            if self._file is None and sys.stdout.isatty() and not self._ends_line:
                print(flush=True)
            raise

    def _show(self, text: str) -> None:
        if sys.stdout.isatty():
            self._print(self._words.add(generated_for_terminal(text, sys.stdout), _width()))
        else:
            self._print(text)

    def _finish_word(self) -> None:
        if not self.is_exact and sys.stdout.isatty():
            self._print(self._words.finish(_width()))

    def _print(self, text: str) -> None:
        if text:
            self._ends_line = text.endswith("\n")
            print(text, end="", flush=True)


def _width() -> int:
    """Return the columns of the terminal but the last, where a terminal may wrap."""
    return max(_LEAST_COLUMNS, columns(sys.stdout) - 1)


def _takes_only_text() -> bool:
    """Return whether standard output takes only text, like a stream that a calling program sets."""
    return not hasattr(sys.stdout, "buffer")
