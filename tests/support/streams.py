"""Run the command line in this process, with streams that fail or press Ctrl-C."""

import contextlib
import io
import os
import signal
import sys
from typing import Any

import pytest

from charlm.cli import main


class Failing(io.RawIOBase):
    """A file that fails when it has a number of bytes."""

    def __init__(self, room: int, code: int) -> None:
        super().__init__()
        self.held, self._room, self._code = b"", room, code
        self.name = "failing"

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        if len(self.held) + len(data) > self._room:
            raise OSError(self._code, os.strerror(self._code))
        self.held += bytes(data)
        return len(data)


class Interrupting(Failing):
    """A file that presses Ctrl-C, once, as soon as it holds a word."""

    def __init__(self, moment: str) -> None:
        super().__init__(10**6, 0)
        self._moment = moment.encode()

    def write(self, data: Any, /) -> int:
        size = super().write(data)
        if self._moment and self._moment in self.held:
            self._moment = b""
            signal.raise_signal(signal.SIGINT)
        return size


def stream(room: int = 10**6, code: int = 0) -> tuple[Failing, io.TextIOWrapper]:
    raw = Failing(room, code)
    return raw, text_to(raw)


def text_to(raw: Failing) -> io.TextIOWrapper:
    """Return a stream of text like those of a process."""
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", line_buffering=True)


def charlm_with(
    patch: pytest.MonkeyPatch, arguments: list[str], out: io.TextIOWrapper, err: io.TextIOWrapper
) -> int:
    """Run the command line in this process with these streams; return its exit code."""
    patch.setattr(sys, "stdout", out)
    patch.setattr(sys, "stderr", err)
    patch.setattr(sys, "argv", ["charlm", *arguments])
    patch.setattr(main, "prepare", lambda: None)
    with pytest.raises(SystemExit) as end:
        main.main()
    assert isinstance(end.value.code, int)
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.close()  # as at the end of a process, where it is flushed once more
    return end.value.code
