"""Which settings a resumed run has: those of its checkpoint, and changes survive a kill."""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.training import PowerLossError, assert_same_state, train

import charlm
from charlm.config.load import load_config
from charlm.config.schema import Config, CorpusConfig
from charlm.errors import ConfigError, RunError
from charlm.runs.checkpoint import Checkpoint, read_checkpoint
from charlm.runs.folder import RunFolder
from charlm.training.events import Advised, Event, Started, Stepped


def edit(run: RunFolder, *changes: tuple[str, str]) -> None:
    """Edit config.yaml as a person would."""
    text = run.config_file.read_text("utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    run.config_file.write_text(text, "utf-8")


def resumed(run: RunFolder, *settings: str) -> list[str]:
    """Resume a run; return what charlm says about its settings."""
    said: list[str] = []

    def on_event(event: Event) -> None:
        if isinstance(event, Advised):
            said.extend(event.reasons)

    charlm.resume(run.path, settings=settings, on_event=on_event)
    return said


def step_of(run: RunFolder) -> int:
    step: int = read_checkpoint(run.last).training_counters["trainer"]["step"]
    return step


def test_edited_config_is_ignored_and_named(text_file: Path, tmp_path: Path) -> None:
    """The checkpoint decides, also over an edit of what may not change; one line names each."""
    run = train(text_file, tmp_path, "training.steps=2", name="run")
    written = run.config_file.read_text("utf-8")
    edit(run, ("\n  steps: 2", "\n  steps: 9"), ("\n  num_layers: 1", "\n  num_layers: 2"))
    (said,) = resumed(run)
    assert said == (
        f"{run.config_file}: ignored, model.num_layers is 2 in it and 1 in the last checkpoint; "
        "training.steps is 9 in it and 2 in the last checkpoint; change settings with --set"
    )
    assert step_of(run) == 2
    assert run.config_file.read_text("utf-8") == written
    assert resumed(run, "training.steps=3") == []
    assert step_of(run) == load_config(run.config_file).training.steps == 3
    assert resumed(run) == []


BROKEN = {
    "YAML": b"training: [1,\n",
    "key": b"training:\n  stepz: 9\n",
    "value": b"training:\n  steps: many\n",
    "encoding": b"\xff\xfe",
    "list": b"- 1\n",
}


@pytest.mark.parametrize("mistake", BROKEN)
def test_broken_config_stops_no_resume(mistake: str, text_file: Path, tmp_path: Path) -> None:
    """The checkpoint decides, so a config.yaml that is not a config is named and rewritten."""
    run = train(text_file, tmp_path, "training.steps=2", name="run")
    written = run.config_file.read_text("utf-8")
    run.config_file.write_bytes(BROKEN[mistake])
    (said,) = resumed(run, "training.steps=2")
    assert said.startswith(f"{run.config_file}: ")
    assert said.endswith("; the file is ignored, and rewritten with the settings of the checkpoint")
    assert "\n" not in said
    assert run.config_file.read_text("utf-8") == written
    assert resumed(run) == []


def test_broken_config_of_a_member(text_file: Path, tmp_path: Path) -> None:
    """That of a member is ignored; that of the ensemble decides, and stops a resume."""
    run = train(text_file, tmp_path, "training.steps=2", "ensemble.members=2", name="run")
    RunFolder(run.path / "member-2").config_file.write_bytes(BROKEN["YAML"])
    (said,) = resumed(run)
    assert "member-2/config.yaml: not YAML" in said.replace("\\", "/")
    run.config_file.write_bytes(BROKEN["YAML"])
    with pytest.raises(ConfigError, match=r"run.config\.yaml: not YAML"):
        charlm.resume(run.path)


def test_config_file_makes_no_ensemble(text_file: Path, tmp_path: Path) -> None:
    """A run of one network remains one, whatever config.yaml says of an ensemble."""
    run = train(text_file, tmp_path, "training.steps=2", name="run")
    edit(run, ("\n  members: 1", "\n  members: 2"))
    (said,) = resumed(run)
    assert "ensemble.members is 2 in it" in said
    assert step_of(run) == 2
    assert not (run.path / "member-1").exists()


def test_config_decides_before_first_save(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was killed before its first save is resumed from config.yaml, edits included."""
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(RunFolder, "save_last", lambda *_: 1 / 0)
        train(text_file, tmp_path, "training.steps=2", name="run")
    run = RunFolder(tmp_path / "run")
    edit(run, ("\n  steps: 2", "\n  steps: 3"), ("\n  num_layers: 1", "\n  num_layers: 2"))
    assert resumed(run) == []
    assert step_of(run) == 3
    assert read_checkpoint(run.last).config.model.num_layers == 2


def test_broken_config_before_first_save(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run without a checkpoint has no other settings than those in config.yaml."""
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(RunFolder, "save_last", lambda *_: 1 / 0)
        train(text_file, tmp_path, "training.steps=2", name="run")
    RunFolder(tmp_path / "run").config_file.write_bytes(BROKEN["key"])
    with pytest.raises(ConfigError, match=r"training\.stepz"):
        charlm.resume(tmp_path / "run")


def test_empty_config_of_new_run_is_refused(text_file: Path, tmp_path: Path) -> None:
    """A run with neither a checkpoint nor settings is not resumed with default settings."""
    run = train(text_file, tmp_path, "training.steps=2", name="run")
    run.last.unlink()
    run.config_file.write_bytes(b"")
    with pytest.raises(RunError, match="contains no checkpoint to resume"):
        charlm.resume(run.path)


def stop(event: Event) -> None:
    if isinstance(event, Stepped) and event.step.step == 2:
        os.kill(os.getpid(), signal.SIGINT)


def lose_power_at_start(event: Event) -> None:
    if isinstance(event, Started):
        raise PowerLossError


def ignore(event: Event) -> None:
    pass


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
@pytest.mark.parametrize(
    ("lost", "on_event", "steps"),
    [("last", ignore, 3), ("config.yaml", ignore, 6), ("step", lose_power_at_start, 6)],
)
def test_kill_keeps_changed_settings(
    lost: str,
    on_event: Callable[[Event], None],
    steps: int,
    text_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A kill before the first save of a resumed run leaves all changed settings, or none."""
    with pytest.raises(KeyboardInterrupt):
        train(text_file, tmp_path, "training.steps=3", name="run", on_event=stop)
    run, before = RunFolder(tmp_path / "run"), tmp_path / "before.safetensors"
    shutil.copy(run.last, before)
    text = shutil.copy(text_file, tmp_path / "moved.txt")
    write = RunFolder._write

    def write_but_last(folder: RunFolder, path: Path, checkpoint: Checkpoint) -> None:
        if path == run.last:
            raise PowerLossError
        write(folder, path, checkpoint)

    def lose_power(*_: object) -> None:
        raise PowerLossError

    with monkeypatch.context() as patch, pytest.raises(PowerLossError):
        if lost == "last":
            patch.setattr(RunFolder, "_write", write_but_last)
        if lost == "config.yaml":
            patch.setattr(RunFolder, "write_config", lose_power)
        changes = ["training.steps=6", "training.threads=2"]
        charlm.resume(run.path, text=text, settings=changes, on_event=on_event)
    assert_same_state(run.last, before)
    last = read_checkpoint(run.last)
    if lost != "last":
        assert (last.config.training.steps, last.compute.threads) == (6, 2)
        assert last.config.corpus.paths == (str(text),)
        rollback = read_checkpoint(run.rollback)
        assert (rollback.config, rollback.compute) == (last.config, last.compute)
    charlm.resume(run.path)
    assert step_of(run) == steps
    assert load_config(run.config_file) == read_checkpoint(run.last).config


def test_relative_path_is_resumed_anywhere(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path in a `Config` becomes absolute, as one in a file does."""
    small = {"model": {"hidden_size": 8}, "training": {"steps": 1}}
    config = Config.model_validate(small).replace(corpus=CorpusConfig(paths=(text_file.name,)))
    monkeypatch.chdir(text_file.parent)
    run = charlm.train(config, runs=tmp_path / "runs").folder
    assert read_checkpoint(run.last).config.corpus.paths == (str(text_file),)
    monkeypatch.chdir(tmp_path)
    assert resumed(run, "training.steps=2") == []
