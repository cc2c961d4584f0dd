"""Read what a run folder records of its training: curves, events, samples, machine, settings.

The run may be complete, stopped, killed or still in training, and may be of one network, of an
ensemble or of several processes.
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from charlm.analysis.repetition import Difference, command_to_repeat, differences
from charlm.config.schema import Config
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import CharlmError, RunError
from charlm.files.untrusted import InvalidDataError, item
from charlm.runs.checkpoint_header import open_file, read_metadata
from charlm.runs.listed_run import ListedRun
from charlm.runs.listed_score import final_score
from charlm.runs.listing import listed_run
from charlm.runs.run import Run, Sample
from charlm.runs.starts import RESULT, read_starts

Values = Float64[np.ndarray, " lines"]

TRAINING = ("loss", "gradient_norm", "learning_rate", "characters_per_second")
VALIDATION = ("validation_loss", "validation_bits_per_byte")
PROGRESS = ("step", "epoch", "characters", "seconds")
_MOST_LINES = 20_000
"""Number of training lines that are read of a longer log, evenly spread."""
_LONGEST_NUMBER = 1e300


@dataclass(frozen=True)
class Lines:
    """Lines of one kind in the log of a network, as columns; NaN where a line has no number."""

    columns: dict[str, Values]

    def __getitem__(self, key: str) -> Values:
        return self.columns[key]

    def __len__(self) -> int:
        return len(self.columns["step"])

    @classmethod
    def of(cls, lines: Sequence[dict[str, Any]], keys: Sequence[str]) -> "Lines":
        """Collect the numbers of some lines."""
        return cls({key: np.array([_number(line.get(key)) for line in lines]) for key in keys})


@dataclass(frozen=True)
class Happening:
    """Something that happened to the training of a network: a rollback, a resumption, a pause."""

    kind: str
    step: int
    text: str


@dataclass(frozen=True)
class NetworkHistory:
    """The training of one network."""

    member: int | None
    """Number of the network in an ensemble."""
    training: Lines
    validation: Lines
    happenings: tuple[Happening, ...]

    def place_of(self, step: int, unit: str) -> float:
        """Return how many characters or seconds of training a step ended at, about."""
        known = np.concatenate([self.training["step"], self.validation["step"]])
        values = np.concatenate([self.training[unit], self.validation[unit]])
        usable = np.isfinite(known) & np.isfinite(values)
        if not usable.any():
            return math.nan
        order = np.argsort(known[usable], kind="stable")
        known, values = known[usable][order], values[usable][order]
        return float(np.interp(step, np.append(0.0, known), np.append(0.0, values)))


@dataclass(frozen=True)
class RunHistory:
    """What a run folder records of a training."""

    listed: ListedRun
    networks: tuple[NetworkHistory, ...]
    samples: tuple[Sample, ...]
    starts: tuple[dict[str, Any], ...]
    """Entries of `environment.json`: machine, versions and time of each start."""
    vocabulary_size: int | None

    @property
    def name(self) -> str:
        return self.listed.path.absolute().name

    @property
    def config(self) -> Config | None:
        return self.listed.config

    @property
    def uniform_bits(self) -> float | None:
        """The loss of guessing: the logarithm of the number of symbols."""
        return math.log2(self.vocabulary_size) if self.vocabulary_size else None

    @property
    def best_validation(self) -> float | None:
        """The lowest validation loss of any network, in nats."""
        columns = [one.validation["validation_loss"] for one in self.networks]
        known = [loss for column in columns for loss in column.tolist() if math.isfinite(loss)]
        return min(known, default=None)

    @property
    def machine(self) -> dict[str, Any]:
        """The entry of the last start, without its result."""
        return {k: v for k, v in self.starts[-1].items() if k != RESULT} if self.starts else {}

    @property
    def result(self) -> dict[str, Any] | None:
        """The result of a complete run, with its score."""
        result = self.starts[-1].get(RESULT) if self.starts else None
        return result if type(result) is dict else None

    @cached_property
    def differences(self) -> list[Difference]:
        """The settings that differ from the defaults."""
        return differences(self.config) if self.config is not None else []

    @cached_property
    def command(self) -> str:
        """The command that repeats the run; "" if its settings are unknown."""
        return command_to_repeat(self.config) if self.config is not None else ""


def read_history(
    path: Path, result: dict[str, Any] | None = None, *, is_ending: bool = False
) -> RunHistory:
    """Read the history of a run; `result` is that of a training whose folder lacks it still.

    A training that `is_ending` in this process, without a result, is shown as stopped.
    Raises `RunError` for a folder that is not a run, or whose log is not charlm's.
    """
    run, listed = Run(path), listed_run(path)
    if listed is None:
        raise RunError(f"{path}: not a run of charlm; give the folder of a run")
    lines = run.metrics(most=_MOST_LINES)
    numbers = sorted({n for line in lines if (n := _member(line)) is not None})
    members: list[int | None] = [*numbers] if numbers else [None]
    starts = _starts(path)
    if result is not None and starts:
        starts[-1] |= {RESULT: result}
        listed = replace(listed, state="finished", score=final_score(starts[-1]) or listed.score)
    elif is_ending and listed.state == "training":
        listed = replace(listed, state="stopped")
    return RunHistory(
        listed,
        tuple(_network(path, member, lines) for member in members),
        tuple(run.samples()),
        tuple(starts),
        _vocabulary_size(path, numbers),
    )


def _network(path: Path, member: int | None, lines: Sequence[dict[str, Any]]) -> NetworkHistory:
    own = [line for line in lines if _member(line) == member]
    happenings = [_happening(line) for line in own if "event" in line]
    for start in _starts(path if member is None else path / f"member-{member}")[1:]:
        step = start.get("resumed_at")
        if type(step) is int and step > 0:
            happenings.append(Happening("resumed", step, str(start.get("began", ""))))
    return NetworkHistory(
        member,
        Lines.of([line for line in own if "loss" in line], (*PROGRESS, *TRAINING)),
        Lines.of([line for line in own if "validation_loss" in line], (*PROGRESS, *VALIDATION)),
        tuple(sorted(happenings, key=lambda one: one.step)),
    )


def _happening(line: dict[str, Any]) -> Happening:
    step, kind = line.get("step"), str(line["event"])
    text = f"{line.get('seconds', 0):.0f} s" if kind == "paused" else str(line.get("reason", ""))
    return Happening(kind, step if type(step) is int else 0, text)


def _member(line: dict[str, Any]) -> int | None:
    number = line.get("member")
    return number if type(number) is int else None


def _starts(folder: Path) -> list[dict[str, Any]]:
    with suppress(CharlmError):  # a file of the user's: the run has no record of its starts
        return read_starts(folder / "environment.json")
    return []


def _vocabulary_size(path: Path, members: Sequence[int]) -> int | None:
    folders = [path, *(path / f"member-{number}" for number in members)]
    for folder in folders:
        for name in ("best", "last"):
            with (
                suppress(CharlmError, InvalidDataError, OSError),
                open_file(folder / "checkpoints" / f"{name}.safetensors") as file,
            ):
                metadata = read_metadata(folder, file)
                return len(Vocabulary.from_json(item(metadata, "vocabulary", dict)))
    return None


def _number(value: Any) -> float:
    """Return a number of a log, or NaN for anything else."""
    is_number = type(value) in (int, float) and abs(value) < _LONGEST_NUMBER
    return float(value) if is_number else math.nan
