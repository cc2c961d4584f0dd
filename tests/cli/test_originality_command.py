"""`charlm originality`: which of its arguments is the run, its output, and what it refuses."""

import json
import shutil
from pathlib import Path

import pytest
from support.commands import refused, run, train
from support.texts import TEXT


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "text.txt").write_text(TEXT, "utf-8")
    return train(folder / "text.txt", folder / "runs")


def test_one_argument_is_a_run_or_a_text(trained: Path, text_file: Path) -> None:
    """A file that is no checkpoint is a text, of the newest run; a run generates its text."""
    runs = f"--runs={trained.parent}"
    of_file = json.loads(run("originality", text_file, runs, "--json").stdout)
    assert of_file["text"]["name"] == "text.txt"
    assert of_file["generation"] is None
    for words in ([trained], [], [trained / "checkpoints" / "best.safetensors"], [trained.name]):
        shown = run("originality", *words, runs, "--length=60", "--seed=3", "--json")
        assert shown.exit_code == 0, shown.output
        generated = json.loads(shown.stdout)
        assert generated["text"]["characters"] == 60
        assert generated["generation"]["seed"] == 3
        assert generated["checkpoint"] == of_file["checkpoint"]


def test_the_text_may_come_from_a_pipe(trained: Path) -> None:
    """`-` is standard input, with or without a run; unknown characters are no error."""
    text = TEXT[:200] + "ж" + TEXT[300:400]
    for words in ([trained, "-"], ["-", f"--runs={trained.parent}"]):
        shown = run("originality", *words, "--json", stdin=text.encode())
        assert shown.exit_code == 0, shown.output
        result = json.loads(shown.stdout)
        assert (result["text"]["name"], result["text"]["characters"]) == ("standard input", 301)
        assert result["spans"][0]["text"] == TEXT[:200]


def test_people_read_tables_and_a_verdict(trained: Path, text_file: Path) -> None:
    """Shares beside those of the held-out split, the longest spans with lines, the verdict."""
    shown = run("originality", trained, text_file)
    rows = [line.split("  ") for line in shown.stdout.splitlines()]
    firsts = [row[0] for row in rows]
    assert {"in copied spans of at least", "text.txt", "test split", "verdict"} <= {*firsts}
    assert "longest spans  training line  text" in shown.stdout
    assert "using" in shown.stderr
    assert "using" not in run("originality", trained, text_file, "-q").stderr


def test_what_cannot_be_compared_is_refused(trained: Path, tmp_path: Path) -> None:
    """In one line each: missing files, an empty text, options of another kind of text."""
    file = tmp_path / "empty.txt"
    file.write_text("", "utf-8")
    refused(run("originality", trained, tmp_path / "none.txt"), "none.txt")
    refused(run("originality", tmp_path / "none"), "none: no such run or checkpoint")
    refused(run("originality", trained, file), "empty")
    refused(run("originality", trained, file, "--seed=1"), "--seed need a generated text")


def test_a_missing_training_text_is_named(trained: Path, tmp_path: Path) -> None:
    """The remedy names an option that the command has."""
    own = tmp_path / "own.txt"
    own.write_text(TEXT, "utf-8")
    folder = train(own, tmp_path / "runs")
    copy = shutil.move(own, tmp_path / "copy.txt")
    refused(run("originality", folder, copy), "own.txt", "name a copy of it with --text")
    assert run("originality", folder, copy, "--text", copy).exit_code == 0
