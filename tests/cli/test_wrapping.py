"""Messages on a narrow terminal: lines end between words, and a command can be copied."""

import sys

import pytest
from support.screens import Screen

from charlm.cli import streams
from charlm.cli.console import PlainConsole
from charlm.cli.main import app
from charlm.errors import CharlmError

MESSAGE = (
    "the text has no newlines-and-no-tabs; check it with `charlm data check my.txt`, then train"
)
widths = pytest.mark.parametrize("width", [30, 45, 60, 80])


def terminal(monkeypatch: pytest.MonkeyPatch, width: int, *, is_terminal: bool = True) -> Screen:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys, "stderr", screen := Screen(is_terminal=is_terminal))
    return screen


def fits(screen: Screen, message: str, width: int) -> bool:
    """Whether a screen shows a message in lines of at most a width, broken between words."""
    lines = screen.written.split("\n")
    return " ".join(lines).strip() == message and max(map(len, lines)) < width


@widths
@pytest.mark.parametrize("is_error", [True, False])
def test_messages_break_between_words(
    width: int, is_error: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a word with hyphens nor a command in backticks is broken."""
    screen = terminal(monkeypatch, width)

    def fail() -> None:
        raise CharlmError(MESSAGE)

    if is_error:
        assert streams.run(fail) == 1
    else:
        PlainConsole(stderr=True).print_wrapped(f"charlm: {MESSAGE}")
    assert fits(screen, f"charlm: {MESSAGE}", width)
    assert "`charlm data check my.txt`" in screen.written


@widths
@pytest.mark.parametrize("arguments", [["eval", "--split", "tset"], ["train", "--seeds", "3-1"]])
def test_command_errors_break_between_words(
    width: int, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So do usage errors and the errors of a command."""
    screen = terminal(monkeypatch, width)
    assert streams.run(lambda: app(arguments)) in (1, 2)
    message = " ".join(screen.written.split())
    assert message.startswith("charlm: --s")
    assert fits(screen, message, width)


def test_a_pipe_gets_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program reads an error as one line, whatever the width."""
    screen = terminal(monkeypatch, 30, is_terminal=False)
    with pytest.raises(SystemExit):
        app(["train", "--seeds", "3-1"])
    assert screen.written.count("\n") == 1
