"""`charlm context`: the table, the curve, the sentence, the JSON, and what it refuses."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from support.commands import refused, run, train
from support.texts import TEXT


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "text.txt").write_text(TEXT, "utf-8")
    return train(folder / "text.txt", folder / "runs")


def test_people_read_a_curve_and_a_sentence(trained: Path) -> None:
    """A row for each history, those of the JSON; the limit of a short split is named."""
    shown = run("context", trained, "--targets=40")
    assert shown.exit_code == 0, shown.output
    found = json.loads(run("context", trained, "--targets=40", "--json").stdout)
    lines = shown.stdout.splitlines()
    assert lines[0].split()[:2] == ["history", "bits"]
    for line, one in zip(lines[1:], found["losses"], strict=False):
        assert line.split()[:2] == [f"{one['history']:,}", f"{one['bits']:.4f}"]
    assert "bits per character, by characters of history" in lines
    assert found["verdict"] in shown.stdout
    assert found["limit"] in shown.stdout
    assert "test split: 40 characters" in shown.stdout
    assert "using" in shown.stderr


def test_a_text_may_come_from_a_pipe(trained: Path) -> None:
    shown = run("context", trained, "--text=-", "--json", "-q", stdin=TEXT.encode())
    found = json.loads(shown.stdout)
    assert (found["text"], found["losses"][-1]["history"]) == ("-", 1024)
    assert found["limit"] is None
    assert shown.stderr == ""


def test_the_curve_is_drawn_in_a_file(trained: Path, tmp_path: Path) -> None:
    """An SVG with a curve and its interval; a file that exists stays as it is."""
    file, text = tmp_path / "curve.svg", tmp_path / "other.txt"
    words = np.random.default_rng(0).choice(TEXT.split(), size=150)
    text.write_text(" ".join(words), "utf-8")
    assert run("context", trained, "--targets=120", "--text", text, "--svg", file).exit_code == 0
    drawn = file.read_text("utf-8")
    root = ElementTree.fromstring(drawn)
    assert root.tag.endswith("svg")
    assert len(root.findall(".//{*}svg[@class='curves']/{*}path")) == 3
    assert "characters of history" in drawn
    refused(run("context", trained, "--svg", file), "curve.svg: exists already")
    assert file.read_text("utf-8") == drawn


def test_what_cannot_be_measured_is_refused(trained: Path, tmp_path: Path) -> None:
    """In one line each: missing files and runs, a text that is too short."""
    (tmp_path / "short.txt").write_text("nobody", "utf-8")
    refused(run("context", trained, "--text", tmp_path / "none.txt"), "none.txt")
    refused(run("context", tmp_path / "none"), "none: no such run or checkpoint")
    refused(run("context", trained, "--text", tmp_path / "short.txt"), "short.txt", "too short")
