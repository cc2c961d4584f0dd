"""Runs are found by path, and by the name that `charlm runs` shows."""

from pathlib import Path

import pytest
from support.commands import run, train

from charlm.errors import RunError
from charlm.runs.finding import checkpoint_of, named_run


def test_a_run_is_found_by_its_name(text_file: Path, tmp_path: Path) -> None:
    """A name stands for the run below `runs` in each command, unless there is such a path."""
    folder = train(text_file, tmp_path / "runs", "--name", "rain")
    runs = ("--runs", folder.parent)
    assert checkpoint_of("rain", folder.parent) == checkpoint_of(folder, folder.parent)
    for command in (("eval", "rain"), ("generate", "rain"), ("train", "--resume", "rain")):
        result = run(*command, *runs)
        assert result.exit_code == 0, result.output


def test_a_path_comes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that exists is never taken for a name, nor is a path with a folder."""
    monkeypatch.chdir(tmp_path)
    runs = Path("runs")
    for name in ("rain", "snow/rain"):
        (runs / name).mkdir(parents=True)
    assert named_run(Path("rain"), runs) == runs / "rain"
    assert named_run(Path("snow/rain"), runs) == Path("snow/rain")
    Path("rain").touch()
    assert named_run(Path("rain"), runs) == Path("rain")
    with pytest.raises(RunError, match="no such run"):
        checkpoint_of("hail", runs)
