"""`generate --interactive`: lines of a pipe and of a terminal, their commands, and Ctrl-C."""

import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.commands import command, refused, run, train
from support.texts import TEXT

import charlm

SEED = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("trained")
    path = place / "text.txt"
    path.write_text(TEXT, "utf-8")
    return train(path, place)


def answers(folder: Path, *lines: str, code: int = 0) -> tuple[str, list[str]]:
    """Return what lines of a pipe are answered with, and the lines of messages."""
    typed = "".join(f"{line}\n" for line in lines).encode()
    result = run("generate", folder, "-i", "-q", "--seed", SEED, "-n", 30, stdin=typed)
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr.splitlines()


def continued(folder: Path, prefix: str, length: int = 30, temperature: float | None = None) -> str:
    settings = {"seed": SEED, "length": length, "temperature": temperature}
    return charlm.generate_text(charlm.load(folder), prefix, **settings)  # type: ignore[arg-type]


def test_lines_are_continued(folder: Path) -> None:
    """Each line is the beginning of a text, as --prefix is; an empty one continues the last."""
    first = "The " + continued(folder, "The ")
    written, messages = answers(folder, "The ", "a", "")
    second = "a" + continued(folder, "a")
    third = continued(folder, second)
    assert written == f"{first}\n{second}\n{third}\n"
    assert messages == []


def test_commands_change_settings(folder: Path) -> None:
    """Commands set what the options set, for the texts after them."""
    written, messages = answers(
        folder, ":length 12", ":temperature 0.5", "The ", ":seed 4", ":stop e", "The ", ":settings"
    )
    first = "The " + continued(folder, "The ", 12, 0.5)
    model = charlm.load(folder)
    second = charlm.generate_text(model, "The ", seed=4, length=12, temperature=0.5, stop="e")
    assert written == f"{first}\nThe {second}\n"
    assert messages[:4] == ["length 12", "temperature 0.5", "seed 4", "stop 'e'"]
    assert "unknown error" in messages
    assert ":top-p" in " ".join(answers(folder, ":help")[1])


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (":temperature -1", "at least 0"),
        (":temperature nan", ":temperature"),
        (":length 1.5", "whole number"),
        (":top-p 2", ":top-p"),
        (":seed x", "whole number"),
        (":unknown guess", "error, skip, map"),
        (":nonsense", ":help"),
        ("nul \0", ":unknown skip"),
        ("::", "':' U+003A"),
    ],
)
def test_wrong_lines_are_one_error(folder: Path, line: str, word: str) -> None:
    """An error is one line; the lines after it are answered, and the exit code is 1."""
    written, messages = answers(folder, line, "a", code=1)
    assert written == f"a{continued(folder, 'a')}\n"
    assert len(messages) == 1
    assert messages[0].startswith("charlm: ")
    assert word in messages[0]


def test_unknown_characters_follow_the_option(folder: Path) -> None:
    """Unknown characters of a line are left out or mapped, where that is set."""
    written, _ = answers(folder, ":unknown skip", "a\0", ":unknown map", "\0")
    first, second = f"a{continued(folder, 'a')}\n", "\ufffd"
    assert written.startswith(first + second)


def test_other_outputs_are_refused(folder: Path) -> None:
    """Options that give the text, or write it elsewhere, are refused."""
    for words in (["-p", "a"], ["--json"], ["--num-samples", 2], ["--output", "x.txt"]):
        refused(run("generate", folder, "-i", *words), "--interactive")


def test_terminal_keeps_the_program(folder: Path) -> None:
    """Ctrl-C stops a text, then drops a line; the history has earlier lines; Ctrl-D ends."""
    outer, inner = pty.openpty()
    words = command("generate", folder, "-i", "-q", "-n", 30_000_000)
    environment = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen(
        words, stdin=inner, stdout=inner, stderr=inner, env=environment, start_new_session=True
    ) as process:
        os.close(inner)
        try:
            read_until(outer, b"> ")
            os.write(outer, b"The \r")
            read_until(outer, b"The \r\nThe ")
            read_more(outer, 2_000)
            process.send_signal(signal.SIGINT)
            read_until(outer, b"\r\n> ")
            os.write(outer, b"dropped")
            read_until(outer, b"dropped")
            process.send_signal(signal.SIGINT)
            while not select.select([outer], [], [], 2.0)[0]:  # Python may miss one while it edits
                process.send_signal(signal.SIGINT)
            read_until(outer, b"\r\n> ")
            os.write(outer, b":length 7\r")
            read_until(outer, b"length 7\r\n> ")
            os.write(outer, b"\x1b[A\x1b[A\r")  # up twice: the line before the last one
            assert b"The " in read_until(outer, b"\r\n> ")
            os.write(outer, b"\x04")
            assert process.wait(30) == 0
        finally:
            process.kill()
            os.close(outer)


def read_until(terminal: int, end: bytes, seconds: float = 60.0) -> bytes:
    """Return what a terminal shows up to some bytes."""
    limit, shown = time.monotonic() + seconds, b""
    while end not in shown:
        has_more, *_ = select.select([terminal], [], [], max(0.0, limit - time.monotonic()))
        assert has_more, shown[-200:]
        shown += os.read(terminal, 1 << 12)
    return shown


def read_more(terminal: int, size: int) -> None:
    while size > 0:
        size -= len(os.read(terminal, 1 << 12))
