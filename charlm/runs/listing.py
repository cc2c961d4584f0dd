"""List the runs of a folder from their small files and the headers of their checkpoints.

Nothing here imports torch, and no weights are read: a list of hundreds of runs takes a moment.
"""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from charlm.config.load import load_config, make_config
from charlm.config.schema import Config
from charlm.corpus.provenance import name_of_split
from charlm.errors import CharlmError, ConfigError, file_errors
from charlm.files.untrusted import InvalidDataError, item
from charlm.runs.checkpoint_header import open_file, read_entries, step_of
from charlm.runs.starts import RESULT, read_starts

State = Literal["training", "stopped", "finished", "no checkpoint", "damaged"]
_CHECKPOINTS = ("last", "best")
"""Names of the checkpoints that are read, in the order in which their configs decide."""
_NOT_PARAMETERS = ("model.counted", "model.mixture")
"""Tensors of an ensemble that are no parameters of its networks."""


@dataclass(frozen=True)
class ListedRun:
    """What a list tells of a run."""

    path: Path
    state: State
    changed_at: float
    """Time of the newest checkpoint, or of the config without one, in seconds since 1970."""
    config: Config | None = None
    num_parameters: int | None = None
    step: int | None = None
    """Number of steps of the best checkpoint, of all networks."""
    split: str | None = None
    """The split whose score is known: that of the end of training, or the best validation."""
    bits_per_character: float | None = None
    problem: str = ""
    """Why a run is damaged."""

    @property
    def text(self) -> str:
        """Name of the training text; "" if it is unknown."""
        return name_of_split("train", self.config.corpus) if self.config is not None else ""

    def to_json(self) -> dict[str, Any]:
        """Return the run as a JSON object; what is unknown is null."""
        config = self.config
        return {
            "run": str(self.path),
            "name": self.path.name,
            "state": self.state,
            "text": self.text or None,
            "cell": config.cells if config is not None else None,
            "seed": config.training.seed if config is not None else None,
            "parameters": self.num_parameters,
            "step": self.step,
            "split": self.split,
            "bits_per_character": self.bits_per_character,
            "changed_at": datetime.fromtimestamp(self.changed_at, UTC).isoformat(
                timespec="seconds"
            ),
            "problem": self.problem or None,
        }


def list_runs(runs: Path) -> list[ListedRun]:
    """Return the runs in a folder, the newest first; a damaged one is among them.

    Files and folders that are not of charlm are passed over. Raises `RunError` if the folder cannot
    be read.
    """
    with file_errors("be read", runs, "check the folder"):
        folders = [path for path in runs.iterdir() if not path.name.startswith(".")]
    found = [run for folder in folders if (run := _listed(folder)) is not None]
    return sorted(found, key=lambda run: (-run.changed_at, run.path.name))


def _listed(folder: Path) -> ListedRun | None:
    """Return what is known of a run; None for a folder that is not a run."""
    try:
        return _Reader(folder).listed()
    except OSError:  # a folder that cannot be searched, or one that was just deleted
        return None


class _Reader:
    """Reads a run folder, and keeps the first problem that it finds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problem = ""
        self.files = [folder / "checkpoints" / f"{name}.safetensors" for name in _CHECKPOINTS]
        self.headers = [self._header(path) for path in self.files if path.is_file()]
        self.metadata = [header[0] for header in self.headers if header is not None]
        self.starts = self._starts()

    def listed(self) -> ListedRun | None:
        """Return what is known of the run, or None if nothing shows that charlm has made it."""
        if not (self.folder / "checkpoints").is_dir():
            return None
        config = self._config()
        if config is None and not self.metadata and not self.starts:
            return None
        members = self._members(config)
        split, bits = self._score() or self._best_validation(members)
        return ListedRun(
            self.folder,
            self._state(members),
            self._changed_at(members),
            config,
            self._num_parameters(),
            self._step(members),
            split,
            bits,
            self.problem,
        )

    def _header(self, path: Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
        try:
            with file_errors("be read", path, "check the file"), open_file(path) as file:
                return read_entries(path, file)
        except CharlmError as reason:
            self.problem = self.problem or str(reason)
            return None

    def _starts(self) -> list[dict[str, Any]]:
        path = self.folder / "environment.json"
        with suppress(CharlmError):  # a file of the user's: a resume says so
            return read_starts(path) if path.is_file() else []
        return []

    def _config(self) -> Config | None:
        """Return the config of a checkpoint, or that in config.yaml without one."""
        path = self.folder / "config.yaml"
        try:
            for metadata in self.metadata:
                return make_config(metadata.get("config"), str(path))
            return load_config(path) if path.is_file() else None
        except ConfigError as reason:
            self.problem = self.problem or str(reason)
            return None

    def _members(self, config: Config | None) -> list["_Reader"]:
        """Return the members of an ensemble until it is finished: only they have checkpoints."""
        if config is None or not config.ensemble.is_wanted or self._is_finished():
            return []
        paths = self.folder.glob("member-*")
        return [_Reader(path) for path in paths if re.fullmatch(r"member-\d+", path.name)]

    def _is_finished(self) -> bool:
        return bool(self.starts) and RESULT in self.starts[-1]

    def _state(self, members: Sequence["_Reader"]) -> State:
        problems = [reader.problem for reader in (self, *members) if reader.problem]
        self.problem = problems[0] if problems else ""
        if self.problem:
            return "damaged"
        if self._is_finished():
            return "finished"
        if _is_locked(self.folder / ".lock"):
            return "training"
        has_checkpoint = any(reader.headers for reader in (self, *members))
        return "stopped" if has_checkpoint else "no checkpoint"

    def _changed_at(self, members: Sequence["_Reader"]) -> float:
        times = [*self._times(self.files), *(t for one in members for t in self._times(one.files))]
        others = [self.folder / "config.yaml", self.folder]
        return max(times) if times else next(self._times(others))

    @staticmethod
    def _times(paths: Sequence[Path]) -> Iterator[float]:
        for path in paths:
            with suppress(FileNotFoundError):
                yield path.stat().st_mtime

    def _num_parameters(self) -> int | None:
        for header in reversed(self.headers):
            if header is not None:
                shapes: list[list[int]] = [
                    tensor["shape"]
                    for name, tensor in header[1].items()
                    if name.startswith("model.") and name not in _NOT_PARAMETERS
                ]
                return sum(map(math.prod, shapes))
        return None

    def _step(self, members: Sequence["_Reader"]) -> int | None:
        for metadata in reversed(self.metadata):
            return step_of(metadata.get("counters"))
        steps = [step for member in members if (step := member._step(())) is not None]
        return sum(steps) if steps else None

    def _score(self) -> tuple[str, float] | None:
        """Return split and bits per character of the score at the end of training."""
        try:
            score = item(item(self.starts[-1], RESULT, dict), "score", dict)
            return item(score, "split", str), item(score, "bits_per_character", float)
        except (IndexError, InvalidDataError):
            return None

    def _best_validation(self, members: Sequence["_Reader"]) -> tuple[str | None, float | None]:
        """Return the best validation so far, of the network or of any member."""
        losses = []
        for metadata in (one for reader in (self, *members) for one in reader.metadata):
            with suppress(InvalidDataError):
                counters = item(item(metadata, "counters", dict), "run", dict)
                losses.append(item(counters, "best_loss", float))
        return ("validation", min(losses) / math.log(2)) if losses else (None, None)


def _is_locked(lock: Path) -> bool:
    """Return whether a process trains in the folder of this lock."""
    try:
        if lock.is_file():
            FileLock(lock, timeout=0).acquire().lock.release()
    except Timeout:
        return True
    except OSError:  # such as a folder that this user cannot write to
        return False
    return False
