"""List the runs of a folder from their small files and the headers of their checkpoints.

Nothing here imports torch, and no weights are read: a list of hundreds of runs takes a moment.
"""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from charlm.config.load import load_config, make_config
from charlm.config.schema import Config
from charlm.errors import CharlmError, ConfigError, file_errors
from charlm.runs.checkpoint_header import open_file, read_entries, step_of
from charlm.runs.listed_run import ListedRun, State
from charlm.runs.listed_score import ListedScore, best_validation, final_score
from charlm.runs.starts import RESULT, read_starts
from charlm.runs.training_lock import is_training

_CHECKPOINTS = ("last", "best")
"""Names of the checkpoints that are read, in the order in which their configs decide."""
_NOT_PARAMETERS = ("model.counted", "model.mixture")
"""Tensors of an ensemble that are not parameters of its networks."""


def list_runs(runs: Path) -> list[ListedRun]:
    """Return the runs in a folder, the newest first; a damaged one is among them.

    Other files and folders are skipped. Raises `RunError` if the folder cannot
    be read.
    """
    with file_errors("be read", runs, "check the folder"):
        folders = [path for path in runs.iterdir() if not path.name.startswith(".")]
    found = [run for folder in folders if (run := listed_run(folder)) is not None]
    return sorted(found, key=lambda run: (-run.changed_at, run.path.name))


def listed_run(folder: Path) -> ListedRun | None:
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
        return ListedRun(
            self.folder,
            self._state(members),
            self._changed_at(members),
            config,
            self._num_parameters(),
            self._step(members),
            self._score(members, config),
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
        with suppress(CharlmError):  # not charlm's file; resuming reports it
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
        trains = is_training(self.folder / ".lock")
        if trains is not False:
            return "training" if trains else "unknown"
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

    def _score(self, members: Sequence["_Reader"], config: Config | None) -> ListedScore | None:
        """Return the score at the end of training, or the best validation so far."""
        score = final_score(self.starts[-1]) if self.starts else None
        if score is None and config is not None:
            metadata = [one for reader in (self, *members) for one in reader.metadata]
            return best_validation(metadata, config)
        return score
