"""Train by several processes, and end them in the middle."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

import charlm
from charlm.runs.folder import RunFolder
from support.commands import command
from support.launches import torchrun, worker
from support.texts import TEXT
from support.training import PowerLossError, crash_at, lines

SETTINGS = [
    *("model.num_layers=2", "model.hidden_size=16", "model.embedding_size=8"),
    *("model.dropout=0.3", "model.embedding_dropout=0.2", "generation.length=20"),
    *("batches.batch_size=5", "batches.sequence_length=48", "training.steps=21"),
    "training.budget=null",
    *("training.validate_every=10", "training.save_every=5", "training.validation_rows=3"),
    *("training.precision=float32", "training.log_every=1", "corpus.split=[0.7, 0.3, 0]"),
]  # an epoch is of 15 or 16 steps; 5 columns, or 3 rows, are not divided by 2
KINDS = {
    "rnn": ["model.cell=rnn", "batches.sampling=random", "model.locked_dropout=true"],
    "lstm": ["model.cell=lstm", "batches.sampling=random"],
    "rnn-carried": ["model.cell=rnn", "training.accumulate=2"],
    "gru-carried": ["model.cell=gru", "model.locked_dropout=true"],
    "lstm-carried": ["model.cell=lstm", "training.accumulate=4"],
    "mogrifier": ["model.cell=mogrifier", "batches.sampling=random", "training.accumulate=2"],
    "mogrifier-carried": ["model.cell=mogrifier", "model.num_layers=2"],
    "diverging": [
        *("model.cell=rnn", "model.nonlinearity=relu", "training.optimizer=sgd"),
        *("training.learning_rate=40", "training.warmup_steps=20", "training.schedule=constant"),
        *("training.max_gradient_norm=null", "training.rollback_factor=0.01"),
    ],  # at step 11, and calm after that
    "one-column": ["batches.batch_size=1", "training.steps=6"],
    "taught": ["training.teachers=TEACHER", "training.accumulate=2", "training.steps=6"],
}
"""Every cell, both samplings, a rollback, fewer columns than processes, and a student."""
ROUNDED = {
    "bfloat16": [
        *("model.cell=lstm", "model.locked_dropout=true"),
        *("training.precision=bfloat16", "training.average=0.9"),
    ],
}
"""Two processes alone train these: in bfloat16 another order of sums is seen sooner."""


def charlm_by(launcher: list[str], *arguments: object) -> list[str]:
    return [*launcher, *command(*arguments)[1:]]


def training(text: Path, runs: Path, name: str, *settings: str) -> list[str]:
    sets = [f"--set={setting}" for setting in (*SETTINGS, *settings)]
    return ["train", "quickstart", "--text", str(text), "--runs", str(runs), "--name", name, *sets]


def when_at(metrics: Path, step: int, act: Callable[[], None]) -> None:
    """Act as soon as a step is logged."""
    deadline = time.monotonic() + 60
    while not metrics.exists() or f'"step": {step}' not in metrics.read_text("utf-8"):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    act()


_PLACES = (Path(__file__).parents[1], Path(charlm.__file__).parents[1])
"""Where a process finds `support` and `charlm`."""


def train_by_one_and_two(folder: Path) -> None:
    """Write a text, and below `one` and `two` what that many processes make of it.

    `two/taken-up` was begun by one process. In `two/killed` the first of two was killed, once.
    `messages` is what the two wrote to standard error.
    """
    text = folder / "text.txt"
    text.write_text(TEXT, "utf-8")
    teacher = str(folder / "one" / "lstm")
    kinds = {
        name: [*SETTINGS, *(setting.replace("TEACHER", teacher) for setting in kind)]
        for name, kind in (KINDS | ROUNDED).items()
    }
    for name in KINDS:
        about: Any = {"text": text, "runs": folder / "one", "settings": kinds[name]}
        charlm.train("quickstart", **about, name=name)
    with pytest.raises(PowerLossError):
        about = {"runs": folder / "two", "name": "taken-up", "on_event": crash_at(8)}
        charlm.train("quickstart", text=text, settings=SETTINGS, **about)
    todo = {
        **{"kinds": kinds, "text": str(text), "runs": str(folder / "two")},
        "resumed": str(folder / "two" / "taken-up"),
        "killed": training(text, folder / "two", "killed", *KINDS["rnn-carried"]),
    }
    (folder / "todo.json").write_text(json.dumps(todo), "utf-8")
    path = os.pathsep.join(map(str, _PLACES))
    with TemporaryDirectory() as temporary:  # torch leaves its logs and those of who was killed
        done = subprocess.run(
            [sys.executable, "-m", "support.two_workers", str(folder / "todo.json")],
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
            env={**os.environ, "PYTHONPATH": path, "TMPDIR": temporary},
        )
    assert done.returncode == 0, done.stderr
    (folder / "messages").write_text(done.stderr, "utf-8")


def assert_alike(mine: RunFolder, theirs: RunFolder) -> None:
    """Their metrics are the same but for rounding."""
    ours, others = lines(mine), lines(theirs)
    kinds = [[(line["step"], line.get("event")) for line in some] for some in (ours, others)]
    assert kinds[0] == kinds[1] != []
    for line, other in zip(ours, others, strict=True):
        assert line.keys() == other.keys()
        for key, value in other.items():
            is_exact = "event" in line or isinstance(value, str)  # `approx` takes no words
            assert line[key] == (value if is_exact else pytest.approx(value, rel=1e-4)), key


def kill(agent: subprocess.Popen[str], rank: int, metrics: Path) -> int:
    """Kill the process with this rank in the middle of the run; return the step it had reached."""
    reached = 0

    def act() -> None:
        nonlocal reached
        reached = metrics.read_text("utf-8").count('"gradient_norm"')  # a line a step
        os.kill(worker(agent, rank), signal.SIGKILL)

    when_at(metrics, 8, act)
    return reached


def taken_up_at(messages: str) -> int:
    """Return the step from which a run went on, as it says itself."""
    (step,) = re.findall(r"^training at step (\d+) in ", messages, re.MULTILINE)
    return int(step)


def in_step_8(folder: Path, act: str, when: str = "before", setup: str = "") -> list[str]:
    """Return a command line of two processes that do something before, or after, their 8th step.

    Each leaves its exit code in the folder.
    """
    program = folder / f"{when}.py"
    program.write_text(
        "import os, signal\n"
        "from datetime import timedelta\n"
        "from charlm.distributed import processes as parallel\n"
        "from charlm.cli.main import main\n"
        "from charlm.training.trainer import Trainer\n"
        "rank, true_step = int(os.environ['RANK']), Trainer.take_step\n"
        "def step(self, *arguments):\n"
        f"    if {when!r} == 'before' and self.step == 7: {act}\n"
        "    result = true_step(self, *arguments)\n"
        f"    if {when!r} == 'after' and self.step == 8: {act}\n"
        "    return result\n"
        f"Trainer.take_step = step\n{setup}\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        f"    with open({str(folder)!r} + f'/exit-{{rank}}', 'w') as file:\n"
        "        file.write(str(end.code))\n"
        "    raise\n",
        "utf-8",
    )
    return [*torchrun(2), str(program)]


def exit_codes(folder: Path) -> list[str]:
    """Return what the workers of `in_step_8` left with."""
    return [path.read_text("utf-8") for path in sorted(folder.glob("exit-*"))]
