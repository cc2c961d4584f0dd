"""The command `charlm report`: which file it writes, and what it refuses."""

import csv
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from support.commands import refused, run, train

from charlm.runs.folder import RunFolder
from charlm.runs.run import Run


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    text = folder / "text.txt"
    text.write_text("A text with words, and more words. " * 200, "utf-8")
    return train(text, folder / "runs", "--name", "one", "--seed", "3")


def test_a_report_lies_in_the_run_folder(one: Path) -> None:
    result = run("report", one)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [str(one / "report.html")]
    assert "--seed 3" in (one / "report.html").read_text("utf-8")


def test_a_run_of_bytes_has_a_report(tmp_path: Path) -> None:
    """Its charts are named for bytes; the file for papers has the first one, too."""
    text = tmp_path / "text.txt"
    text.write_text("A text with words, and more words. " * 200, "utf-8")
    folder = train(text, tmp_path / "runs", "--set=corpus.unit=byte")
    for options in ((), ("--svg", tmp_path / "losses.svg")):
        result = run("report", folder, *options)
        assert result.exit_code == 0, result.output
    assert "bytes read in training" in (tmp_path / "losses.svg").read_text("utf-8")


def test_a_run_is_found_by_its_name(one: Path) -> None:
    """A name is looked for below --runs; without one, the newest run is taken."""
    for words in ((), ("one",)):
        result = run("report", *words, "--runs", one.parent)
        assert result.stdout.splitlines() == [str(one / "report.html")]


TRAINING = """
import sys, time
from pathlib import Path
from charlm.runs.folder import RunFolder

with RunFolder(Path(sys.argv[1])).locked():
    print("locked", flush=True)
    time.sleep(600)
"""


def test_a_run_in_training_has_a_report(one: Path, tmp_path: Path) -> None:
    """Another process trains it, and is writing a line of its log; once killed, it is stopped."""
    folder = tmp_path / "one"
    shutil.copytree(one, folder)
    folder.joinpath("environment.json").unlink()  # with the result
    folder.joinpath("report.html").unlink(missing_ok=True)
    with RunFolder(folder).metrics.open("a") as log:
        log.write('{"step": 5, "lo')
    command = [sys.executable, "-c", TRAINING, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"locked\n"
            result = run("report", folder)
            assert result.exit_code == 0, result.output
            page = (folder / "report.html").read_text("utf-8")
            assert "<td><bdi>training</bdi></td>" in page
            assert "This run is in training" in page
            assert "<td><bdi>4 steps, " in page
        finally:
            process.kill()
    assert run("report", folder).exit_code == 0
    assert "<td><bdi>stopped</bdi></td>" in (folder / "report.html").read_text("utf-8")


def test_several_runs_have_a_page_above_them(one: Path) -> None:
    """The report of the first one is not replaced."""
    result = run("report", one, one)
    assert result.stdout.splitlines() == [str(one.parent / "report.html")]


def test_files_for_papers_replace_the_page(one: Path, tmp_path: Path) -> None:
    """With --svg and --csv alone no page is written; the table has a row for each line."""
    svg, table = tmp_path / "losses.svg", tmp_path / "losses.csv"
    (one / "report.html").unlink(missing_ok=True)
    result = run("report", one, "--svg", svg, "--csv", table)
    assert result.stdout.splitlines() == [str(svg), str(table)]
    assert not (one / "report.html").exists()
    assert ET.parse(svg).getroot().tag.endswith("svg")
    with table.open() as file:
        rows = list(csv.DictReader(file))
    lines = Run(one).metrics()
    assert len(rows) == len(lines)
    assert {row["run"] for row in rows} == {"one"}
    losses = [float(row["loss"]) for row in rows if row["loss"]]
    assert losses == pytest.approx([line["loss"] for line in lines if "loss" in line])
    refused(run("report", one, "--csv", table), "exists already", "--csv")


def test_a_report_replaces_nothing_else(one: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("mine")
    refused(run("report", one, "-o", page), "is not a report of charlm", "-o")
    refused(run("report", one, "--full", "--svg", tmp_path / "a.svg"), "--full", "-o")
    assert page.read_text() == "mine"


def test_what_is_no_run_is_refused(one: Path, tmp_path: Path) -> None:
    refused(run("report", tmp_path / "nothing"), "no such run")
    refused(run("report", tmp_path), "contains no checkpoint")


def test_png_names_its_extra(one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
    refused(run("report", one, "--png", tmp_path / "a.png"), "charlm-rnn[plots]", "--svg")


def test_png_is_an_image(one: Path, tmp_path: Path) -> None:
    """A name that matplotlib would read as a formula is text."""
    pytest.importorskip("matplotlib")
    run("report", one, "--png", tmp_path / "$a.png")
    assert (tmp_path / "$a.png").read_bytes().startswith(b"\x89PNG")
