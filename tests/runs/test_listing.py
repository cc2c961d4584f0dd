"""The list of runs: what it says of each, and what it passes over."""

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from support.training import PowerLossError, crash_at, train

import charlm
from charlm.config.schema import Config
from charlm.errors import RunError
from charlm.prediction.predictor import load
from charlm.prediction.scoring import protocol as method_of
from charlm.prediction.timed_scoring import TimeLimit
from charlm.runs import listing, training_lock
from charlm.runs.creation import create_run_folder
from charlm.runs.folder import RunFolder
from charlm.runs.listed_run import ListedRun
from charlm.runs.listed_score import ListedScore, final_score
from charlm.runs.listing import list_runs
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


@pytest.mark.parametrize("is_whole", [True, False])
def test_partial_validations_say_so(is_whole: bool, tmp_path: Path) -> None:
    """A stopped run has its best validation, with what the config says about how it is scored."""
    text = tmp_path / "long.txt"
    text.write_text("".join(f"The train {number} came in. " for number in range(1600)), "utf-8")
    characters = "null" if is_whole else "1000"
    settings = (f"training.validation_characters={characters}", "training.validate_every=1")
    every = ("training.steps=4", "training.save_every=1", *settings)
    with pytest.raises(PowerLossError):
        train(text, tmp_path / "runs", *every, name="one", on_event=crash_at(3))
    score = listed(tmp_path / "runs", "one").score
    assert score is not None
    assert (score.split, score.is_approximate, score.is_partial) == (
        *("validation", True),
        not is_whole,
    )
    assert score.characters is not None
    assert (score.characters > 1000) == is_whole


def test_a_partial_end_score_says_so(text_file: Path, tmp_path: Path) -> None:
    """What the protocol of a score says is read from it as charlm writes it."""
    limit = TimeLimit(0.0, lambda: 0.0, tmp_path)
    protocol = method_of(2, "float32") + limit.note(1_000, 9_000)
    score = {"split": "test", "bits_per_character": 2.5, "characters": 1000, "protocol": protocol}
    found = final_score({"result": {"score": score}})
    assert found == ListedScore("test", 2.5, 1000, is_approximate=True, is_partial=True)
    score["protocol"] = method_of(1, "float32")
    assert final_score({"result": {"score": score}}) == ListedScore("test", 2.5, 1000)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no locks of files to be read")
@pytest.mark.parametrize("is_held", [True, False])
def test_training_of_another_user(
    is_held: bool, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that cannot be written is tested by reading; one that cannot be read is unknown."""
    folder = Path(shutil.copytree(runs / "one", tmp_path / "one"))
    (folder / "environment.json").unlink()

    class ForeignLock:
        def __init__(self, *arguments: object, **options: object) -> None:
            pass

        def acquire(self) -> None:
            raise PermissionError(13, "Permission denied")

    with FileLock(folder / ".lock") if is_held else nullcontext():
        (folder / ".lock").touch()
        monkeypatch.setattr(training_lock, "FileLock", ForeignLock)
        assert listed(tmp_path, "one").state == ("training" if is_held else "stopped")

        def refuse(*arguments: object) -> int:
            raise PermissionError(13, "Permission denied")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "open", refuse)
            assert training_lock.is_training(folder / ".lock") is None
        monkeypatch.setattr(listing, "is_training", lambda lock: None)
        assert listed(tmp_path, "one").state == "unknown"


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
    """A run that a process trains has the state `training`, with and without a checkpoint."""
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
