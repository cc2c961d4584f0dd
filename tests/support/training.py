"""Train small networks in this process, stop them, and compare what they leave."""

import json
from pathlib import Path
from typing import Any

import torch

import charlm
from charlm.runs.checkpoint import read_checkpoint
from charlm.runs.folder import RunFolder
from charlm.training.events import Event, Stepped

TINY = [
    "training.precision=float32",
    "model.hidden_size=16",
    "model.embedding_size=8",
    "batches.batch_size=4",
    "batches.sequence_length=16",
    "training.budget=null",
    "training.log_every=1",
    "training.warmup_steps=3",
    "training.report=false",
    "generation.length=20",
]


class PowerLossError(BaseException):
    """Ends a run as a power loss would: no code expects it, and nothing is saved."""


def train(text: Path, runs: Path, *settings: str, **options: Any) -> RunFolder:
    finished = charlm.train(
        "quickstart", text=text, runs=runs, settings=[*TINY, *settings], **options
    )
    return RunFolder(finished.folder.path)


def lines(run: RunFolder) -> list[dict[str, Any]]:
    """Return the lines of the metrics without times."""
    clock = ("seconds", "characters_per_second")
    records = [json.loads(line) for line in run.metrics.read_text("utf-8").splitlines()]
    return [{k: v for k, v in record.items() if k not in clock} for record in records]


def losses(run: RunFolder) -> list[float]:
    return [line["loss"] for line in lines(run) if "loss" in line]


def weights(path: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(path).weights


def assert_same_weights(one: Path, other: Path) -> None:
    mine, theirs = weights(one), weights(other)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def assert_same_state(one: Path, other: Path) -> None:
    """Assert that two checkpoints resume alike; only times may differ."""
    assert_same_weights(one, other)
    mine, theirs = (read_checkpoint(path) for path in (one, other))
    assert mine.training_tensors.keys() == theirs.training_tensors.keys()
    for name, tensor in mine.training_tensors.items():
        assert torch.equal(tensor, theirs.training_tensors[name]), name
    assert timeless(mine.training_counters) == timeless(theirs.training_counters)


def timeless(counters: dict[str, Any]) -> dict[str, Any]:
    clock = ("seconds", "elapsed", "overhead", "log_sizes")
    return {
        key: timeless(value) if isinstance(value, dict) else value
        for key, value in counters.items()
        if key not in clock
    }


def crash_at(step: int) -> Any:
    def on_event(event: Event) -> None:
        if isinstance(event, Stepped) and event.step.step == step:
            raise PowerLossError

    return on_event
