"""Open a file of bytes to read and a new one to write, where each may be a standard stream."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import cast

from charlm.errors import CharlmError, file_errors

STREAM = Path("-")
"""The path that stands for standard input or output."""


class _Source(BufferedIOBase):
    """A file to read; errors of reading name it, and not the file that is written."""

    def __init__(self, file: BufferedIOBase, name: str) -> None:
        super().__init__()
        self._file, self._name = file, name

    def read(self, size: int | None = -1, /) -> bytes:
        from charlm.corpus.blocks import read_waiting

        with file_errors("be read", self._name, "check the path", CharlmError):
            return read_waiting(self._file, size or 0)


@contextmanager
def opened(path: Path) -> Iterator[BufferedIOBase]:
    """Open the file to read."""
    if path == STREAM:
        yield _Source(cast("BufferedIOBase", sys.stdin.buffer), "standard input")
        return
    with file_errors("be read", path, "check the path", CharlmError):
        file = path.open("rb")
    with file:
        yield _Source(file, str(path))


@contextmanager
def created(path: Path) -> Iterator[BufferedIOBase]:
    """Create the new file, which appears only when it is complete."""
    from charlm.files.atomic import new_file

    if path == STREAM:
        yield cast("BufferedIOBase", sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    remedy = "free some space, or choose another --output"
    with file_errors("be written", path, remedy, CharlmError), new_file(path) as file:
        yield file
