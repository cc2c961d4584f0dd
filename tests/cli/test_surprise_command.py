"""`charlm surprise`: the text with its marks or colours, tables, output for programs, refusals."""

import csv
import io
import json
import sys
from pathlib import Path

import pytest
from support.commands import refused, run, train
from support.texts import TEXT

import charlm
from charlm.cli import surprise_text


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "text.txt").write_text(TEXT, "utf-8")
    return train(folder / "text.txt", folder / "runs", "--set=corpus.unit=byte", steps=30)


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    path = tmp_path / "letter.txt"
    path.write_text("the rain\tfalls\n\non 日本 éa\u0301b \u202e☔\n", "utf-8")
    return path


def test_running_text_has_no_items(trained: Path, letter: Path) -> None:
    refused(run("surprise", trained, letter, "--items=3"), "--items needs a model of records")
    refused(run("originality", trained, "--match=a"), "--items and --match need a model of")


def test_marks_stand_below_their_characters(trained: Path, letter: Path) -> None:
    """In a pipe, each digit is the whole bits of the character above; wide ones take two cells."""
    shown = run("surprise", trained, letter, "-q")
    assert shown.exit_code == 0, shown.output
    columns = json.loads(run("surprise", trained, letter, "--json").stdout)
    lines = shown.stdout.splitlines()
    assert lines[0].rstrip("↵") == "  the rain    falls"
    assert lines[1].startswith("^ ")
    for place, bits in enumerate(columns["bits"][1:8], 1):
        digit = lines[1][2:].ljust(20)[place]
        assert digit == (str(min(9, int(bits))) if bits >= 2 else " ")
    assert any(line.startswith("a digit below a character") for line in lines)
    assert "bits per byte" in shown.stdout
    assert "\x1b" not in shown.stdout
    assert "\u202e" not in shown.stdout


def test_a_terminal_gets_colours(
    trained: Path, letter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text without the codes is the text; every coloured run ends."""
    monkeypatch.setattr(surprise_text, "can_style", lambda stream: True)
    shown = run("surprise", trained, letter, "-q").stdout
    text = shown.partition("\n\n and")[0]
    assert "\x1b[97;41m" in text or "\x1b[30;43m" in text
    assert shown.count("\x1b[0m") == shown.count("\x1b[") / 2
    assert "2 to 4" in shown
    plain = run("surprise", trained, letter, "-q").stdout
    for code in (*surprise_text._COLOURS[1:], "\x1b[0m"):
        plain = plain.replace(code, "")
    assert plain.startswith("the rain    falls")


def test_a_terminal_wraps_marks_with_the_text(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without colours, text and marks are cut at the same columns."""
    path = tmp_path / "long.txt"
    path.write_text("zq" * 100, "utf-8")
    monkeypatch.setattr(surprise_text, "columns", lambda stream: 42)
    monkeypatch.setattr(surprise_text, "can_style", lambda stream: False)
    terminal = io.TextIOWrapper(io.BytesIO(), "utf-8")
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    result = charlm.surprise(charlm.load(trained), path)
    monkeypatch.setattr(sys, "stdout", terminal)
    surprise_text.show_text(result)
    terminal.seek(0)
    lines = terminal.read().splitlines()
    assert max(map(len, lines)) <= 42
    assert "".join(line[2:] for line in lines if line.startswith("  ")) == "zq" * 100


def test_lines_of_a_split_are_numbered_in_it(trained: Path, letter: Path) -> None:
    """That is said below the table; the lines of another text are those of its file."""
    text = trained.parent.parent / "text.txt"
    shown = run("surprise", trained, text, "--lines=2", "-q")
    counted = "lines are counted from the beginning of the test split of text.txt"
    assert counted in " ".join(shown.output.split())
    assert "are counted from" not in run("surprise", trained, letter, "--lines=2").output


def test_lines_and_words_are_tables(trained: Path, letter: Path) -> None:
    """For people, as JSON and as CSV; the same rows in all three."""
    lines = run("surprise", trained, letter, "--lines=2", "-q").stdout.splitlines()
    assert lines[0].split() == ["line", "mean", "bits", "sum", "text"]
    assert len(lines) == 3
    objects = json.loads(run("surprise", trained, letter, "--lines=2", "--json").stdout)
    rows = [
        *csv.DictReader(io.StringIO(run("surprise", trained, letter, "--lines=2", "--csv").stdout))
    ]
    assert [int(row["line"]) for row in rows] == [one["line"] for one in objects["lines"]]
    by_sum = json.loads(run("surprise", trained, letter, "--lines=9", "--by=sum", "--json").stdout)
    sums = [one["bits"] for one in by_sum["lines"]]
    assert sums == sorted(sums, reverse=True)
    words = json.loads(run("surprise", trained, letter, "--words", "--json").stdout)["words"]
    shown = run("surprise", trained, letter, "--words", "-q").stdout
    assert words
    assert all(word["word"] in shown for word in words)


def test_rows_of_characters(trained: Path, letter: Path) -> None:
    """A row has the place, the figures and the likeliest characters; the first has no figures."""
    shown = run("surprise", trained, letter, "--csv", "-q").stdout
    rows = [*csv.DictReader(io.StringIO(shown, newline=""))]
    columns = json.loads(run("surprise", trained, letter, "--json").stdout)
    assert "".join(row["character"] for row in rows) == columns["text"]
    assert rows[0]["bits"] == rows[0]["p_1"] == ""
    assert [float(row["bits"]) for row in rows[1:]] == columns["bits"][1:]
    assert (rows[17]["line"], rows[17]["column"]) == ("3", "2")
    assert float(rows[5]["p_1"]) == columns["probabilities"][5][0]
    assert rows[5]["likeliest_1"] == columns["symbols"][columns["likeliest"][5][0]]


def test_one_argument_is_a_text(trained: Path, letter: Path) -> None:
    """It is read by the newest run; `-` is standard input."""
    runs = f"--runs={trained.parent}"
    one = json.loads(run("surprise", letter, runs, "--json").stdout)
    for words in (["-", runs], [trained, "-"]):
        other = json.loads(run("surprise", *words, "--json", stdin=letter.read_bytes()).stdout)
        assert other["bits"] == one["bits"]


def test_what_cannot_be_read_is_refused(trained: Path, tmp_path: Path) -> None:
    """In one line each: no text, missing ones, empty and one-character texts, odd options."""
    file = tmp_path / "file.txt"
    file.write_text("", "utf-8")
    refused(run("surprise", trained), "no text is named; add a FILE")
    refused(run("surprise", trained, tmp_path / "none.txt"), "none.txt")
    refused(run("surprise", tmp_path / "none", file), "none: no such run or checkpoint")
    refused(run("surprise", trained, file), "empty")
    refused(run("surprise", trained, file, "--csv", "--json"), "--csv cannot be combined")
    refused(run("surprise", trained, file, "--lines=3", "--words"), "--lines cannot be combined")
    file.write_text("a", "utf-8")
    refused(run("surprise", trained, file), "1 character ")


def test_a_word_of_any_length_is_a_row(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text("the " + "a" * 5000 + " rain\n", "utf-8")
    shown = run("surprise", trained, path, "--words", "-q")
    assert shown.exit_code == 0, shown.output
    assert "…" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) < 400
