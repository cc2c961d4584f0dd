"""Standard input that does not wait for data: no command takes its first part for the whole."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.commands import quickstart_on
from support.texts import TEXT

from charlm.cli.interactive import _piped_lines
from charlm.cli.main import app
from charlm.corpus.blocks import spool_standard_input
from charlm.errors import CharlmError, CorpusError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="pipes of Windows always wait")


@contextmanager
def open_pipe(data: bytes, *, waits: bool, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put data into standard input, a pipe to which more may be written if it does not wait."""
    reading, writing = os.pipe()
    os.set_blocking(reading, waits)
    os.write(writing, data)
    if waits:
        os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as file:
        monkeypatch.setattr("sys.stdin", file)
        yield
    if not waits:
        os.close(writing)


def test_first_part_is_not_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A text of which more may come is refused, and `train -` leaves no folder."""
    refusal = pytest.raises(CorpusError, match=r"standard input: could not be read \(.*not wait")
    with open_pipe(b"part", waits=False, monkeypatch=monkeypatch), refusal:
        spool_standard_input(tmp_path)
    words = [*quickstart_on("-", tmp_path / "runs"), "--set=training.steps=1"]
    refused = pytest.raises(SystemExit)
    with open_pipe(TEXT.encode(), waits=False, monkeypatch=monkeypatch), refused as end:
        app(words)
    assert end.value.code == 1
    assert "standard input: could not be read" in capfd.readouterr().err
    assert not list(tmp_path.glob("runs/*/*"))


@pytest.mark.parametrize("data", [b"", b"one\n", b"one\r\ntwo"])
def test_first_lines_are_not_all(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of a pipe end where it is closed; where it does not wait, part of a line is none."""
    with open_pipe(data, waits=True, monkeypatch=monkeypatch):
        assert [*_piped_lines()] == data.splitlines()
    lines = list[bytes]()
    refusal = pytest.raises(CharlmError, match="does not wait")
    with open_pipe(data, waits=False, monkeypatch=monkeypatch), refusal:
        lines.extend(_piped_lines())
    assert lines == [
        line[:-1].rstrip(b"\r") for line in data.splitlines(True) if line[-1:] == b"\n"
    ]
