"""The prompt of `generate --interactive`: a line, its continuation, and the next line."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING

import typer

from charlm.cli.console import print_message
from charlm.cli.generated_texts import GeneratedTexts
from charlm.cli.interactive_settings import InteractiveSettings
from charlm.cli.options import Unknown
from charlm.cli.prefixes import argument_bytes, line_bytes
from charlm.cli.text_output import TextOutput
from charlm.cli.wrapping import print_error
from charlm.errors import CharlmError

if TYPE_CHECKING:
    from charlm.config.sections.generation import GenerationSettings
    from charlm.portable.network import IntegerNetwork
    from charlm.prediction.predictor import Predictor

_PROMPT = "> "
_OPTION = "add --unknown skip or --unknown map"
_COMMAND = "use :unknown skip or :unknown map"
_MOST_CONTINUED_BYTES = 20_000
"""End of the last text that is read again to continue it."""


def converse(
    loaded: "Predictor",
    settings: "GenerationSettings",
    seed: int | None,
    stop: str | None,
    unknown: Unknown,
    network: "IntegerNetwork | None",
    target: TextOutput,
) -> None:
    """Continue lines until the input ends; exit with code 1 if one of a pipe is refused."""
    own = InteractiveSettings(loaded, settings, seed, stop, unknown)
    if not Conversation(own, network, target).run():
        raise typer.Exit(1)


class Conversation:
    """Reads lines, from a terminal or a pipe, and writes their continuations."""

    def __init__(
        self, settings: InteractiveSettings, network: "IntegerNetwork | None", target: TextOutput
    ) -> None:
        self._settings, self._network, self._target = settings, network, target
        self._is_raw = settings.loaded.vocabulary.unit == "byte"
        self._has_records = settings.loaded.records is not None
        self._last: bytes | None = None
        """What was written last, with its beginning; None: nothing."""

    def run(self) -> bool:
        """Answer all lines; return whether every one of them could be answered."""
        is_terminal = sys.stdin.isatty()
        lines = _terminal_lines() if is_terminal else _piped_lines()
        is_good = True
        for line in lines:
            try:
                with _stoppable(is_terminal):
                    self._answer(line)
            except CharlmError as reason:
                print_error(str(reason).replace(_OPTION, _COMMAND))
                is_good = is_terminal
        return is_good

    def _answer(self, line: bytes) -> None:
        if line.startswith(b":") and not line.startswith(b"::"):
            print_message(self._settings.obey(line[1:].decode("utf-8", "replace")))
            return
        if line or self._last is None or self._has_records:
            typed = line[1:] if line.startswith(b"::") else line
            self._write(line_bytes(typed, self._is_raw) if typed else None, is_new=True)
        else:
            self._write(self._last, is_new=False)

    def _write(self, prefix: bytes | None, *, is_new: bool) -> None:
        """Write a text: a new one with its beginning, or only the continuation of the last."""
        from charlm.prediction.generation import encode_prefix

        own, target = self._settings, self._target
        texts = GeneratedTexts(
            own.loaded,
            encode_prefix(own.loaded, prefix, own.unknown.value),
            1,
            own.seed,
            None if own.stop is None else argument_bytes(own.stop, ":stop", self._is_raw),
            own.settings,
            self._network,
        )
        written = bytearray(b"" if is_new else prefix or b"")
        pieces = texts.pieces()
        if is_new:
            pieces = chain([texts.prefix_read], pieces)
        try:
            for piece in pieces:
                target.write(piece)
                written += piece
        finally:  # also when the text is interrupted
            target.finish()
            target.close()
            target.write_plain("\n")
            self._last = self._end_of(bytes(written))

    def _end_of(self, written: bytes) -> bytes:
        """Return the end of a text, of whole characters unless it is one of bytes."""
        end = written[-_MOST_CONTINUED_BYTES:]
        return end if self._is_raw else end.decode("utf-8", "ignore").encode()


@contextmanager
def _stoppable(is_terminal: bool) -> Iterator[None]:
    """Let Ctrl-C on a terminal end the block, and not the program."""
    try:
        yield
    except KeyboardInterrupt:
        if not is_terminal:
            raise


def _terminal_lines() -> Iterator[bytes]:
    """Yield typed lines until Ctrl-D; Ctrl-C drops a line. The lines are the prompt's history."""
    try:
        import readline
    except ImportError:  # a system without it: no history
        pass
    else:
        del readline
    has_own_prompt = sys.stdout.isatty()
    while True:
        if not has_own_prompt:
            print(_PROMPT, end="", file=sys.stderr, flush=True)
        try:
            yield input(_PROMPT if has_own_prompt else "").encode("utf-8", "surrogateescape")
        except EOFError:
            print(file=sys.stderr)
            return
        except KeyboardInterrupt:
            print(file=sys.stderr)
        except UnicodeDecodeError:
            print_error("the line is not UTF-8; type it again")


def _piped_lines() -> Iterator[bytes]:
    """Yield the lines of a pipe or a file, without their ends.

    Raises `CharlmError` for a stream that does not wait: what comes later looks like a new line.
    """
    source = sys.stdin.buffer
    while (line := source.readline()).endswith(b"\n"):
        yield line.removesuffix(b"\n").removesuffix(b"\r")
    if source.read(1) != b"":
        raise CharlmError("standard input: it does not wait for data; use a pipe or a file")
    if line:
        yield line
