"""The list of runs: what it says of each, and what it passes over."""

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.training import PowerLossError, crash_at, train

import charlm
from charlm.config.schema import Config
from charlm.errors import RunError
from charlm.prediction.predictor import load
from charlm.runs.creation import create_run_folder
from charlm.runs.folder import RunFolder
from charlm.runs.listing import ListedRun, list_runs
from charlm.training.events import Stepped


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished network, and a finished ensemble."""
    from support.texts import TEXT

    folder = tmp_path_factory.mktemp("listed")
    text = folder / "novel.txt"
    text.write_text(TEXT, "utf-8")
    train(text, folder / "runs", "training.steps=4", "training.seed=3", name="one")
    ensemble = ("ensemble.members=2", "ensemble.ngram_order=2")
    train(text, folder / "runs", "training.steps=4", *ensemble, name="both")
    return folder / "runs"


def listed(runs: Path, name: str) -> ListedRun:
    (run,) = [run for run in list_runs(runs) if run.path.name == name]
    return run


@pytest.mark.parametrize(("name", "cells"), [("one", "lstm"), ("both", "2 × lstm + n-grams")])
def test_a_finished_run_has_its_test_score(runs: Path, name: str, cells: str) -> None:
    """An ensemble is one run; the figures are those of the model and of `charlm eval`."""
    run, predictor = listed(runs, name), load(runs / name)
    assert (run.state, run.split, run.text, run.problem) == ("finished", "test", "novel.txt", "")
    assert run.config is not None
    assert run.config.cells == cells
    assert run.num_parameters == predictor.model.num_parameters
    assert predictor.checkpoint is not None
    assert run.step == predictor.checkpoint.step
    score = charlm.evaluate(predictor)
    assert run.bits_per_character == pytest.approx(score.bits_per_character, rel=1e-4)


def test_members_are_no_runs_of_their_own(runs: Path) -> None:
    assert {run.path.name for run in list_runs(runs)} == {"one", "both"}
    assert {run.path.name for run in list_runs(runs / "both")} == {"member-1", "member-2"}


def test_an_extended_run_is_finished_again(runs: Path, tmp_path: Path) -> None:
    """A resumed run is no longer finished; stopped, it has the best validation so far."""
    folder = Path(shutil.copytree(runs / "one", tmp_path / "one"))
    settings = ["training.steps=8", "training.save_every=1", "training.validate_every=1"]
    with pytest.raises(PowerLossError):
        charlm.resume(folder, settings=settings, on_event=crash_at(7))
    run = listed(tmp_path, "one")
    assert (run.state, run.split) == ("stopped", "validation")
    assert run.bits_per_character is not None
    lines = [json.loads(line) for line in RunFolder(folder).metrics.read_text().splitlines()]
    losses = [line["validation_loss"] for line in lines if "validation_loss" in line]
    assert run.bits_per_character == pytest.approx(min(losses) / math.log(2))
    charlm.resume(folder)
    run = listed(tmp_path, "one")
    assert (run.state, run.split) == ("finished", "test")


def test_a_run_in_training(text_file: Path, tmp_path: Path) -> None:
    """A run that a process trains says so, with and without a checkpoint."""
    states = []

    def look(event: object) -> None:
        if isinstance(event, Stepped):
            states.append(listed(tmp_path, "now").state)

    train(
        text_file, tmp_path, "training.steps=3", "training.save_every=2", name="now", on_event=look
    )
    assert states == ["training"] * 3
    assert listed(tmp_path, "now").state == "finished"


def test_an_unfinished_ensemble(runs: Path, tmp_path: Path) -> None:
    """Until the ensemble is mixed, the list has steps and validation of its members."""
    folder = RunFolder(Path(shutil.copytree(runs / "both", tmp_path / "both")))
    folder.best.unlink()
    folder.environment.unlink()
    run = listed(tmp_path, "both")
    assert (run.state, run.split, run.step) == ("stopped", "validation", 8)
    assert run.bits_per_character is not None
    shutil.rmtree(folder.path / "member-1")
    shutil.rmtree(folder.path / "member-2")
    assert listed(tmp_path, "both").state == "no checkpoint"


def test_a_run_without_checkpoint(tmp_path: Path) -> None:
    create_run_folder(tmp_path, "begun", "stem", Config())
    run = listed(tmp_path, "begun")
    assert (run.state, run.text) == ("no checkpoint", "python-docs")
    assert (run.bits_per_character, run.num_parameters, run.step) == (None, None, None)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut short": lambda data: data[:-100],
    "empty": lambda data: b"",
    "other format": lambda data: data.replace(b'format_version\\": 4', b'format_version\\": 7'),
    "foreign": lambda data: b"PK\x03\x04 something else",
    "bad header": lambda data: b"\xff" * 8 + data[8:],
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("name", ["best", "last"])
def test_damaged_runs_stop_no_list(runs: Path, tmp_path: Path, kind: str, name: str) -> None:
    """A damaged run has its reason, with the file, and the others are listed as always."""
    shutil.copytree(runs / "one", tmp_path / "well")
    folder = RunFolder(Path(shutil.copytree(runs / "one", tmp_path / "damaged")))
    checkpoint = folder.checkpoints / f"{name}.safetensors"
    before = checkpoint.read_bytes()
    checkpoint.write_bytes(DAMAGE[kind](before))
    assert checkpoint.read_bytes() != before
    run = listed(tmp_path, "damaged")
    assert run.state == "damaged"
    assert str(checkpoint) in run.problem
    assert run.text == "novel.txt"
    assert listed(tmp_path, "well").state == "finished"


def test_a_damaged_config_without_checkpoint(runs: Path, tmp_path: Path) -> None:
    """Where no checkpoint has the config, the problem of config.yaml is named."""
    folder = RunFolder(Path(shutil.copytree(runs / "one", tmp_path / "one")))
    folder.config_file.write_text("training: [\n")
    assert listed(tmp_path, "one").state == "finished"  # the checkpoint decides
    folder.best.unlink()
    folder.last.unlink()
    run = listed(tmp_path, "one")
    assert (run.state, run.config) == ("damaged", None)
    assert str(folder.config_file) in run.problem


def test_foreign_folders_are_passed_over(runs: Path, tmp_path: Path) -> None:
    """Files, hidden folders, folders of other programs, pipes and loops are no runs."""
    shutil.copytree(runs / "one", tmp_path / ".hidden")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, config in (("theirs", "lr: 0.1\n"), ("broken", "a: [\n"), ("none", None)):
        checkpoints = tmp_path / name / "checkpoints"
        checkpoints.mkdir(parents=True)
        (checkpoints / "best.safetensors").write_bytes(b"PK\x03\x04")
        if config is not None:
            (tmp_path / name / "config.yaml").write_text(config)
    (tmp_path / "theirs" / "environment.json").write_text('{"python": 3}')
    if hasattr(os, "mkfifo"):
        (tmp_path / "pipes" / "checkpoints").mkdir(parents=True)
        for name in ("config.yaml", "environment.json", "checkpoints/last.safetensors"):
            os.mkfifo(tmp_path / "pipes" / name)
    assert list_runs(tmp_path) == []


def test_the_newest_run_comes_first(runs: Path, tmp_path: Path) -> None:
    """The order and the age are those of the newest checkpoint, as for the default of eval."""
    for number, name in enumerate(("b", "c", "a")):
        folder = RunFolder(Path(shutil.copytree(runs / "one", tmp_path / name)))
        os.utime(folder.best, (1_000 + number, 1_000 + number))
        os.utime(folder.last, (500, 500))
    assert [(run.path.name, run.changed_at) for run in list_runs(tmp_path)] == [
        ("a", 1_002),
        ("c", 1_001),
        ("b", 1_000),
    ]


def test_an_older_record_without_result(runs: Path, tmp_path: Path) -> None:
    """A result that charlm would not write counts as none."""
    folder = RunFolder(Path(shutil.copytree(runs / "one", tmp_path / "one")))
    (start,) = json.loads(folder.environment.read_text())
    results: list[Any] = [{"score": None}, {"score": {"split": 3}}, {"score": "high"}, None, []]
    for result in results:
        folder.environment.write_text(json.dumps([start | {"result": result}]))
        run = listed(tmp_path, "one")
        assert (run.state, run.split) == ("finished", "validation")


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="missing"):
        list_runs(tmp_path / "missing")


def test_the_list_needs_no_torch(runs: Path) -> None:
    code = (
        "import sys; from charlm.cli.main import app; "
        f"app(['runs', '--runs', {str(runs)!r}], standalone_mode=False); "
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "novel.txt" in done.stdout
