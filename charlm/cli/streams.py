"""Guard the standard streams of the command line, and turn errors into exit codes."""

import errno
import io
import os
import sys
from collections.abc import Callable
from typing import Any

from charlm.cli.json_errors import asks_for_json, print_json_error
from charlm.cli.wrapping import print_error
from charlm.environment.memory import describe, is_out_of_memory
from charlm.errors import CharlmError, remedy_for


class OutputError(Exception):
    """Raised if results cannot be written to standard output."""

    def __init__(self, reason: OSError) -> None:
        if reason.errno == errno.EBADF:
            super().__init__("it is closed; redirect it")
        else:
            remedy = remedy_for(reason, "free some space, or redirect it")
            super().__init__(f"{reason.strerror or reason}; {remedy}")
        self.is_broken_pipe = isinstance(reason, BrokenPipeError)


class _Results(io.RawIOBase):
    """Raw standard output: raises `OutputError` once, and discards all later output.

    The error is not an `OSError`: Rich and Typer would catch that, and end the process.
    """

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__()
        self._raw = raw
        self.name = getattr(raw, "name", "")
        self._has_failed = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def isatty(self) -> bool:
        return self._raw.isatty()

    def write(self, data: Any, /) -> int | None:
        if self._has_failed:
            return len(data)
        try:
            return self._raw.write(data)
        except OSError as reason:
            self._has_failed = True
            raise OutputError(reason) from reason


class _Messages(_Results):
    """Raw standard error: discards what it cannot write."""

    def write(self, data: Any, /) -> int | None:
        try:
            written = self._raw.write(data)
        except OSError:
            written = None
        return len(data) if written is None else written


def guard_streams() -> None:
    """Open closed standard streams, and handle write errors on all of them."""
    _open_if_closed()
    sys.stdout = _guard(sys.stdout, _Results)
    sys.stderr = _guard(sys.stderr, _Messages)


def _open_if_closed() -> None:
    """Open closed streams, because the next opened files would take their descriptors.

    Reading from them and writing results to them fails; messages are discarded.
    """
    modes = {"stdin": ("r", os.O_WRONLY), "stdout": ("w", os.O_RDONLY)}
    for name, (mode, flags) in (modes | {"stderr": ("w", os.O_WRONLY)}).items():
        if getattr(sys, name) is None:
            number = os.open(os.devnull, flags)  # the lowest free descriptor is the stream's own
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def _guard(stream: Any, kind: type[_Results]) -> Any:
    """Wrap a stream; return a stream without a file, such as a test uses, unchanged."""
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)  # an unbuffered stream has none
    if not isinstance(stream, io.TextIOWrapper) or not isinstance(raw, io.RawIOBase):
        return stream
    guarded: Any = io.TextIOWrapper(
        io.BufferedWriter(kind(raw)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering or stream.write_through,
    )
    guarded.mode = "w"  # as `open` sets it
    guarded.stream = stream  # keep a reference: the stream closes the file when it is collected
    return guarded


def run(command: Callable[[], object], group: Callable[[], Any] = lambda: None) -> int:
    """Run a command line and return its exit code; bugs keep their traceback.

    `group` returns the commands whose flag `--json` asks for errors as JSON. A reader that closes
    the pipe early, such as `head`, is not an error.
    """
    try:
        code = _exit_code(command)
        sys.stdout.flush()
    except CharlmError as error:
        return _fail_for_program(str(error), group)
    except OutputError as error:
        if error.is_broken_pipe:
            return 0
        return _fail(f"standard output: {error}")
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        remedy = "close other programs, or process less at a time"
        return _fail_for_program(f"{describe(error)}; {remedy}", group)
    return code


def _exit_code(command: Callable[[], object]) -> int:
    try:
        command()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _fail_for_program(message: str, group: Callable[[], Any]) -> int:
    if asks_for_json(sys.argv[1:], group()):
        print_json_error(message)
    return _fail(message)


def _fail(message: str) -> int:
    print_error(message)
    return 1
