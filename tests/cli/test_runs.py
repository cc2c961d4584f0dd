"""`charlm runs`, and the errors that mention it."""

import json
import os
import shutil
from pathlib import Path

import pytest
from support.commands import refused, run, train
from support.texts import TEXT

from charlm.formatting import age


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    text = folder / "novel.txt"
    text.write_text(TEXT, "utf-8")
    train(text, folder / "runs")
    return folder / "runs"


def test_the_table_of_runs(runs: Path, tmp_path: Path) -> None:
    """A line tells name, text, cell, size, score with its split, age and state."""
    shutil.copytree(runs, tmp_path / "runs")
    damaged = shutil.copytree(runs / "novel-1", tmp_path / "runs" / "damaged") / "checkpoints"
    (damaged / "last.safetensors").write_bytes(b"")
    for path in (tmp_path / "runs" / "novel-1" / "checkpoints").iterdir():
        os.utime(path, (path.stat().st_mtime - 7_300,) * 2)
    result = run("runs", "--runs", tmp_path / "runs")
    assert result.exit_code == 0, result.output
    heading, first, second, meaning = result.stdout.splitlines()
    assert heading.split()[:4] == ["run", "text", "cell", "parameters"]
    score = json.loads(run("eval", runs / "novel-1", "--json").stdout)
    assert second.split() == [
        *("novel-1", "novel.txt", "lstm", f"{score['parameters']:,}"),
        *(f"{score['bits_per_character']:.4f}", "?", "test", "2", "h", "finished"),
    ]
    assert score["characters"] < 1000
    assert meaning == "? fewer than 1,000 characters, too few to measure"
    assert first.split()[0] == "damaged"
    assert first.split()[-1] == "damaged"
    assert str(damaged / "last.safetensors") in result.stderr


@pytest.mark.parametrize(
    ("protocol", "characters", "signs"),
    [
        ("exact: state carried through the whole text", 5_000, ""),
        ("approximate: 16 streams, each but the first with 256 characters", 5_000, "~"),
        ("approximate: 2 streams; scored on 1,000 of 5,000 characters", 1_000, "~*"),
        ("exact: state carried through the whole text; scored on 999 of 5,000", 999, "*?"),
    ],
)
def test_scores_have_signs(
    protocol: str, characters: int, signs: str, runs: Path, tmp_path: Path
) -> None:
    """A score that is approximate, partial or of few characters has a sign, and a line each."""
    folder = shutil.copytree(runs / "novel-1", tmp_path / "runs" / "novel-1")
    starts = json.loads((folder / "environment.json").read_text())
    score = starts[-1]["result"]["score"]
    score["protocol"], score["characters"] = protocol, characters
    (folder / "environment.json").write_text(json.dumps(starts))
    _, row, *meanings = run("runs", "--runs", tmp_path / "runs").stdout.splitlines()
    assert [word for word in row.split() if not word.strip("~*?")] == ([signs] if signs else [])
    assert [line[0] for line in meanings] == [*signs]
    (listed,) = json.loads(run("runs", "--runs", tmp_path / "runs", "--json").stdout)
    assert listed["characters"] == characters
    assert (listed["approximate"], listed["partial"]) == ("~" in signs, "*" in signs)


def test_runs_as_json(runs: Path) -> None:
    (listed,) = json.loads(run("runs", "--runs", runs, "--json").stdout)
    score = json.loads(run("eval", runs / "novel-1", "--json").stdout)
    assert {key: listed[key] for key in ("name", "state", "text", "split", "problem")} == {
        "name": "novel-1",
        "state": "finished",
        "text": "novel.txt",
        "split": "test",
        "problem": None,
    }
    for key in ("run", "name", "cell", "parameters", "step", "seed", "bits_per_character"):
        assert listed[key] == score[key]


def test_no_runs_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first run the list is empty; another folder that is missing is an error."""
    monkeypatch.chdir(tmp_path)
    result = run("runs")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "charlm train" in result.stderr
    assert json.loads(run("runs", "--json").stdout) == []
    refused(run("runs", "--runs", "rusn"), "rusn")


def test_unknown_runs_point_to_the_list(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error for a run that does not exist names the command that lists those that do."""
    monkeypatch.chdir(runs.parent)
    for arguments in (("eval", "nvoel-1"), ("generate", "zzz"), ("train", "--resume", "zzz")):
        refused(run(*arguments), "no such run", "novel-1", "`charlm runs` lists all runs")
    elsewhere = run("eval", "zzz", "--runs", runs)
    refused(elsewhere, f"`charlm runs --runs {runs}` lists all runs")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        *((-5, "0 s"), (0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3_599, "59 min")),
        *((3_600, "1 h"), (86_399, "23 h"), (86_400, "1 day"), (200_000, "2 days")),
    ],
)
def test_ages_have_their_largest_unit(seconds: float, words: str) -> None:
    assert age(float(seconds)) == words
