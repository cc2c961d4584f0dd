"""Forged runs: a state that no training can have is refused in one line."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.divergence import LEAPS, NOT_A_NUMBER
from support.training import train

import charlm
from charlm.errors import CheckpointError
from charlm.runs.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from charlm.runs.folder import RunFolder
from charlm.training.events import Event, Stepped, Validated

Forgery = Callable[[dict[str, torch.Tensor], dict[str, Any]], object]
"""Changes the tensors and the counters of training."""


def counter(path: str, value: Any) -> Forgery:
    """Return a forgery that sets a counter, such as `run.line.nats`."""
    *sections, name = path.split(".")

    def forge(tensors: dict[str, torch.Tensor], counters: dict[str, Any]) -> None:
        for section in sections:
            counters = counters[section]
        counters[name] = value

    return forge


def tensor(name: str, value: torch.Tensor | None) -> Forgery:
    """Return a forgery that sets or removes a tensor."""
    if value is None:
        return lambda tensors, counters: tensors.pop(name)
    return lambda tensors, counters: tensors.__setitem__(name, value)


FORGED: dict[str, Forgery] = {
    "a position past the epoch": counter("trainer.position", [0, 1_000_000_000]),
    "a position before the text": counter("trainer.position", [0, -1]),
    "a negative epoch": counter("trainer.position", [-1, 0]),
    "an epoch that no float holds": counter("trainer.position", [10**400, 0]),
    "half a batch": counter("trainer.position", [0, 0.5]),
    "a position of one number": counter("trainer.position", [0]),
    "a position that is null": counter("trainer.position", None),
    "a position beyond the steps": counter("trainer.step", 1),
    "a step that is a word": counter("trainer.step", "x"),
    "a step that is a boolean": counter("trainer.step", True),
    "steps that no float holds": counter("trainer.step", 10**400),
    "negative characters": counter("trainer.characters", -5),
    "seconds that are no number": counter("trainer.seconds", float("nan")),
    "a learning rate of zero": counter("trainer.learning_rate_scale", 0.0),
    "a learning rate that no rollback raises": counter("trainer.learning_rate_scale", 1e308),
    "a trainer that is a list": counter("trainer", []),
    "a run that is a list": counter("run", []),
    "a mean that is a word": counter("run.line.nats", "many"),
    "characters that no float holds": counter("run.epoch.characters", 10**400),
    "a negative watch": counter("run.watch.steps", -1),
    "an infinite level": counter("run.watch.level", float("inf")),
    "a best loss that is a list": counter("run.best_loss", [1]),
    "a patience in words": counter("run.validations_since_best", "three"),
    "rollbacks in words": counter("run.rollbacks", "three"),
    "a kind of save in words": counter("run.is_regular", "yes"),
    "teachers that are a word": counter("teachers", "none"),
    "teachers that are null": counter("teachers", [None]),
    "sizes that are a list": counter("log_sizes", []),
    "a size in words": counter("log_sizes", {"metrics.jsonl": "long"}),
    "a wrong shape": tensor("optimizer.0.exp_avg", torch.zeros(3)),
    "a missing mean": tensor("optimizer.0.exp_avg_sq", None),
    "a mean of no parameter": tensor("optimizer.99.exp_avg", torch.zeros(3)),
    "a name without a number": tensor("optimizer.x.exp_avg", torch.zeros(3)),
    "complex means": tensor("optimizer.1.exp_avg", torch.zeros(16, 64, dtype=torch.complex64)),
    "a wide state": tensor("state.0.0", torch.zeros(4, 99)),
    "a state of too few columns": tensor("state.0.0", torch.zeros(3, 16)),
    "a state that is a number": tensor("state.0.0", torch.tensor(1.0)),
    "a missing state": tensor("state.0.1", None),
    "weights of another shape": tensor("weights.b_q", torch.zeros(3)),
    "a missing weight": tensor("weights.b_q", None),
}
SETTINGS = ["training.average=0.9", "training.save_every=4", "batches.sampling=sequential"]


@pytest.fixture(scope="module")
def forged_from(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ten steps, which ends inside its first epoch."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "text").write_text("".join(f"{number} of many, " for number in range(500)))
    return train(folder / "text", folder, "training.steps=10", *SETTINGS, name="run").path


def forge(path: Path, forgery: Forgery, source: Checkpoint) -> None:
    tensors, counters = dict(source.training_tensors), source.training_counters
    forgery(tensors, counters)
    write_checkpoint(path, replace(source, training_tensors=tensors, training_counters=counters))


@pytest.mark.parametrize("forgery", FORGED.values(), ids=FORGED.keys())
def test_forged_training_state_is_refused(forged_from: Path, forgery: Forgery) -> None:
    """A checkpoint whose training state is forged is refused in one line."""
    run = RunFolder(forged_from)
    whole = run.last.read_bytes()
    try:
        forge(run.last, forgery, read_checkpoint(run.last))
        with pytest.raises(CheckpointError, match=r"last\.safetensors: its training state"):
            charlm.resume(run.path, settings=["training.steps=12"])
    finally:
        run.last.write_bytes(whole)


def test_honest_training_state_is_resumed(forged_from: Path) -> None:
    assert charlm.resume(forged_from, settings=["training.steps=12"]).step >= 12


@pytest.mark.parametrize("settings", [NOT_A_NUMBER, LEAPS], ids=["not a number", "leaps"])
def test_forged_rollback_is_refused(
    text_file: Path, tmp_path: Path, forged_from: Path, settings: list[str]
) -> None:
    """A rollback checkpoint of another model is refused, also where losses are compared."""
    other = RunFolder(forged_from).last.read_bytes()
    run = RunFolder(tmp_path / "run")

    def on_event(event: Event) -> None:
        if isinstance(event, Stepped):
            run.rollback.write_bytes(other)

    with pytest.raises(
        CheckpointError, match=r"rollback\.safetensors: the checkpoint is from another model"
    ):
        train(text_file, tmp_path, *settings, name="run", on_event=on_event)


def test_forged_best_is_refused(text_file: Path, tmp_path: Path, forged_from: Path) -> None:
    """A best checkpoint of another model is not scored."""
    run = RunFolder(tmp_path / "run")

    def on_event(event: Event) -> None:
        if isinstance(event, Validated):
            run.best.write_bytes(RunFolder(forged_from).last.read_bytes())

    with pytest.raises(
        CheckpointError, match=r"best\.safetensors: the checkpoint is from another model"
    ):
        train(text_file, tmp_path, "training.steps=6", name="run", on_event=on_event)
