"""What every fault is followed by: the laws that a run's folder keeps, whatever ended it."""

import random
import subprocess
import sys
from itertools import cycle, product
from pathlib import Path

from charlm.files.build_folder import RESERVED
from charlm.runs.checkpoint import read_checkpoint
from charlm.runs.folder import RunFolder
from support.commands import run, steps_logged
from support.launches import torchrun
from support.texts import TEXT
from support.training import assert_same_state, assert_same_weights

CELLS, SAMPLINGS, PRECISIONS = (
    ("rnn", "gru", "lstm", "mogrifier"),
    ("random", "sequential"),
    ("float32", "bf16"),
)
AVERAGES = ("0", "0.9")
LIMITS = ("steps", "budget")


class Workplace:
    """A text, and every kind of run on it: the uninterrupted one, and those that something ends."""

    def __init__(
        self,
        folder: Path,
        steps: int,
        save_every: int,
        validate_every: int,
        processes: int = 1,
        num_kinds: int | None = None,
    ) -> None:
        """To be made where `clock_of_steps` is set: half of the runs have a time budget.

        With `num_kinds`, only so many kinds are trained, and ended again and again.
        """
        self.folder, self.steps, self.save_every = folder, steps, save_every
        self.validate_every, self.processes = validate_every, processes
        self.text = folder / "text.txt"
        self.text.write_text(TEXT, "utf-8")
        kinds = list(product(CELLS, SAMPLINGS, PRECISIONS, AVERAGES, LIMITS))
        random.Random(1).shuffle(kinds)  # so that the first few differ in everything
        self.kinds = cycle(kinds[:num_kinds])
        self._whole: dict[tuple[str, ...], RunFolder] = {}

    def arguments(self, kind: tuple[str, ...], name: str) -> list[str]:
        cell, sampling, precision, average, limit = kind
        settings = {
            "model.cell": cell,
            "model.hidden_size": 16,
            "model.num_layers": 2,
            "model.dropout": 0.2,
            "batches.sampling": sampling,
            "batches.batch_size": 4,
            "batches.sequence_length": 16,
            "training.precision": precision.replace("bf", "bfloat"),
            "training.device": "cpu",
            "training.average": average,
            "training.budget": "null",
            f"training.{limit}": self.steps,
            "training.save_every": self.save_every,
            "training.validate_every": self.validate_every,
            "training.keep_checkpoints": 1,
            "training.log_every": 1,
            "generation.length": 5,
        }
        sets = [f"--set={key}={value}" for key, value in settings.items()]
        return [
            *(
                "train",
                "quickstart",
                "--quiet",
                "--text",
                str(self.text),
                "--runs",
                str(self.folder),
            ),
            *("--name", name, *sets),
        ]

    def command(self, *arguments: object) -> list[str]:
        """Return the command line that runs charlm in as many processes as train here."""
        launcher = [sys.executable] if self.processes == 1 else torchrun(self.processes)
        script = Path(__file__).with_name("clocked.py")
        return [*launcher, str(script), *map(str, arguments)]

    def run(self, *arguments: object) -> None:
        """Run charlm to its end."""
        if self.processes == 1:
            assert run(*arguments).exit_code == 0
        else:
            together = self.command(*arguments)
            done = subprocess.run(
                together, check=False, capture_output=True, text=True, timeout=100
            )
            assert done.returncode == 0, done.stderr

    def whole(self, kind: tuple[str, ...]) -> RunFolder:
        """Return the run of this kind that nothing has interrupted."""
        if kind not in self._whole:
            name = "-".join(("whole", *kind))
            self.run(*self.arguments(kind, name))
            self._whole[kind] = RunFolder(self.folder / name)
        return self._whole[kind]

    def check_saved(self, ended: RunFolder) -> None:
        """The checkpoints are whole, and the last is at most one saving interval old."""
        for path in ended.checkpoints.glob("*.safetensors"):
            read_checkpoint(path)
        logged = steps_logged(ended.path)
        reached = logged[-1]["step"] if logged else 0
        saved = 0
        if ended.last.exists():  # it is, from before the first step on
            saved = read_checkpoint(ended.last).training_counters["trainer"]["step"]
        assert ended.last.exists() or not logged
        assert reached - self.save_every <= saved <= reached

    def check_end(self, ended: RunFolder, kind: tuple[str, ...]) -> None:
        """A run that has come to its end after all is, bit for bit, the uninterrupted one."""
        whole = self.whole(kind)
        assert steps_logged(ended.path) == steps_logged(whole.path)
        assert ended.samples.read_bytes() == whole.samples.read_bytes()
        assert_same_state(ended.last, whole.last)
        assert_same_weights(ended.best, whole.best)
        here, there = ({p.name for p in r.checkpoints.iterdir()} for r in (ended, whole))
        assert here - {RESERVED} == there
        # A kill before the marker is written leaves an empty folder for some minutes.
        reserved = ended.checkpoints / RESERVED
        assert not any(path.lstat().st_size for path in reserved.rglob("*") if path.is_file())
