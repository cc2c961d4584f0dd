"""A terminal receives no control characters of foreign text; a file receives the text unchanged."""

import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest
import torch
from typer.testing import CliRunner

from charlm.cli.main import app
from charlm.config.schema import Config, ModelConfig
from charlm.corpus.vocabulary import Vocabulary
from charlm.models.language_model import LanguageModel
from charlm.runs.checkpoint import Checkpoint, write_checkpoint

pty = pytest.importorskip("pty")

CONTROLS = [code for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"]
"""All of C0 but newline and tab, DEL, and C1."""
ORDERS = "".join(map(chr, CONTROLS))


def pictured(text: str) -> str:
    """Return what a terminal is to show of a text."""
    pictures = {code: chr(0x2400 + code) if code < 0x20 else "\ufffd" for code in CONTROLS}
    return text.translate(pictures | {0x7F: "␡"})


STYLES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
"""Codes that charlm itself writes to a terminal: for colours, and to redraw a line."""


def on_terminal(*arguments: str, stream: str) -> str:
    """Return what a command writes where standard output or error is a terminal."""
    leader, follower = pty.openpty()
    written: list[bytes] = []

    def read() -> None:
        with suppress(OSError):  # Linux says so that all writers are gone
            while piece := os.read(leader, 1 << 16):
                written.append(piece)

    reader = Thread(target=read)
    reader.start()
    with (
        os.fdopen(follower, "w", encoding="utf-8") as terminal,
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        pytest.MonkeyPatch.context() as patch,
        suppress(SystemExit),
    ):
        patch.setenv("COLUMNS", "400")
        for name in ("stdout", "stderr"):
            patch.setattr(sys, name, terminal if name == stream else nowhere)
        app(list(arguments))
    reader.join()
    os.close(leader)
    return b"".join(written).decode().replace("\r\n", "\n")


def assert_no_orders(shown: str) -> None:
    assert [hex(ord(c)) for c in shown if ord(c) in CONTROLS] == []


@pytest.fixture
def writes_orders(tmp_path: Path) -> Path:
    """A model that knows nothing but control characters."""
    config = Config(model=ModelConfig(hidden_size=4))
    vocabulary = Vocabulary(tuple(CONTROLS))
    model = LanguageModel(config.model, len(vocabulary))
    model.initialize(torch.Generator().manual_seed(0))
    path = tmp_path / "orders.safetensors"
    write_checkpoint(path, Checkpoint(config, vocabulary, "0", model.state_dict()))
    return path


@pytest.mark.parametrize("samples", ["1", "2"])
def test_generated_text_gives_no_orders(writes_orders: Path, samples: str) -> None:
    """Generated text sends no control sequences to a terminal; a pipe gets it unchanged."""
    arguments = (
        "generate",
        str(writes_orders),
        "--seed=1",
        "--length=300",
        f"--num-samples={samples}",
    )
    shown = on_terminal(*arguments, stream="stdout")
    assert_no_orders(shown)
    piped = CliRunner().invoke(app, arguments).stdout_bytes.decode()
    assert len(piped) == len(shown)
    assert set(map(chr, CONTROLS)) <= set(piped)
    assert "␛" in shown and "␛" not in piped


IN_A_LINE = pictured(" ".join(ORDERS.splitlines()))
"""An error is one line: what would end it is a space."""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("train", "quickstart", "--text", f"no{ORDERS}where"), f"no{IN_A_LINE}where"),
        (("train", f"no{ORDERS}config"), f"no{IN_A_LINE}config"),
        (("train", "--set", f"model.cell={ORDERS}"), r"\x00\x01"),  # written as Python does
        (("data", "get", "one", f"two{ORDERS}many"), r"\x19\x1a\x1b"),
        (("data", "get", f"no{ORDERS}text"), f"no{IN_A_LINE}text"),
    ],
)
def test_an_error_gives_a_terminal_no_orders(arguments: tuple[str, ...], expected: str) -> None:
    shown = on_terminal(*arguments, stream="stderr")
    assert_no_orders(STYLES.sub("", shown))
    assert expected in shown


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_samples_and_tables_give_no_orders(stream: str, text_file: Path, tmp_path: Path) -> None:
    """Samples, tables and messages send no control sequences to a terminal."""
    in_name = ORDERS.replace("\0", "")  # the one that no name may hold
    text = tmp_path / f"a{in_name}:smile:[bold]text"
    text.write_text(text_file.read_text().replace("e", "\x1b").replace("a", "\x9b"))
    steps = ("--set=training.steps=2", "--set=training.budget=null", "--set=model.hidden_size=8")
    runs = ("--runs", str(tmp_path / f"ru{in_name}ns"))
    shown = on_terminal(
        "train", "quickstart", "--text", str(text), *steps, *runs, "--name=r", stream=stream
    )
    shown += on_terminal("eval", "--text", str(text), *runs, stream=stream)
    assert_no_orders(STYLES.sub("", shown))
    assert f"ru{pictured(in_name)}ns" in shown
    if stream == "stdout":
        assert ":smile:[bold]" in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "quickstart", "--text", "no\u202ewhere\u2066"),
        ("train", "no\u202econfig"),
        ("train", "--no\u202esuch"),
        ("--no\u202esuch",),
        ("no\u202ecommand",),
        ("data", "get", "one", "two\u202emany"),
        ("generate", "no\u202erun"),
        ("data", "get", "no\u202etext"),
    ],
)
def test_error_shows_reordering_characters(arguments: tuple[str, ...]) -> None:
    """An error shows the codes of characters that would reorder it."""
    shown = STYLES.sub("", on_terminal(*arguments, stream="stderr"))
    assert not set("\u202e\u2066") & set(shown)
    assert "<U+202E>" in shown or r"\u202e" in shown


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_names_show_reordering_characters(stream: str, text_file: Path, tmp_path: Path) -> None:
    """Names in messages and results show the codes of characters that would reorder them."""
    steps = ("--set=training.steps=1", "--set=training.budget=null", "--set=model.hidden_size=8")
    runs = ("--runs", str(tmp_path / "a\u202eb\u2028"), "--name", "c")
    shown = on_terminal(
        "train", "quickstart", "--text", str(text_file), *steps, *runs, stream=stream
    )
    assert f"{tmp_path}/a<U+202E>b<U+2028>/c" in shown
    assert not set("\u202e\u2028") & set(shown)
