"""The checkpoints of a run, and its logs, which end at the step of the last checkpoint."""

import os
from dataclasses import replace
from pathlib import Path

from charlm.errors import RunError, file_errors
from charlm.files.atomic import sync_folder
from charlm.runs.checkpoint import (
    Checkpoint,
    is_checkpoint,
    is_readable,
    read_checkpoint,
    write_checkpoint,
)
from charlm.runs.logs import Logs
from charlm.runs.paths import RunPaths
from charlm.runs.writer import by_writer


class RunCheckpoints(RunPaths):
    """Writes, copies and deletes the checkpoints of one run; never another file.

    Each checkpoint contains the sizes of the logs, to which resuming and rolling back cut them.
    """

    def __init__(self, path: Path, *, is_writer: bool = True, logs: Logs | None = None) -> None:
        super().__init__(path)
        self.is_writer = is_writer
        self.logs = logs or Logs(path, is_writer=is_writer)

    @property
    def metrics(self) -> Path:
        return self.logs.metrics

    @property
    def samples(self) -> Path:
        return self.logs.samples

    @by_writer
    def discard_after(
        self, step: int, log_sizes: dict[str, int], unwritten: dict[str, str] | None = None
    ) -> None:
        """Delete the logs and checkpoints of later steps: training resumes at this one."""
        self._delete([path for number, path in self._numbered() if number > step])
        self.logs.cut(log_sizes, unwritten)

    @by_writer
    def save_last(self, checkpoint: Checkpoint, step: int, keep: int) -> None:
        """Write the checkpoint to resume from; keep up to `keep` older ones under their steps."""
        self.logs.sync()
        if keep:
            self._write(self.numbered(step), checkpoint)
            older = self._numbered()[: -keep - 1]  # the newest one is a copy of `last`
            self._delete([path for _, path in older])
        self._write(self.last, checkpoint)

    @by_writer
    def save_best(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint with the lowest validation loss."""
        self._write(self.best, checkpoint)

    @by_writer
    def change_settings(self, last: Checkpoint) -> None:
        """Write the last checkpoint with other settings, and store them where they are read later.

        The best checkpoint gets the path of the text, from which `eval` reads it. The rollback
        checkpoint may become the last one. `last` is written at the end: a crash before leaves the
        old settings in force, and one after it the new ones.
        """
        if self.best.exists():
            best = read_checkpoint(self.best)
            if best.config.corpus != last.config.corpus:
                config = best.config.replace(corpus=last.config.corpus)
                self._write(self.best, replace(best, config=config))
        if is_readable(self.rollback):
            rollback = read_checkpoint(self.rollback)
            self._write(self.rollback, replace(rollback, config=last.config, compute=last.compute))
        self._write(self.last, last)

    @by_writer
    def copy_last_to_rollback(self) -> None:
        """Copy the last checkpoint to the rollback checkpoint."""
        if self.last.exists():
            self._write(self.rollback, read_checkpoint(self.last))

    @by_writer
    def rename_rollback_to_last(self) -> None:
        """Make the rollback checkpoint, if there is one, the last checkpoint."""
        if self.rollback.exists():
            self._check_is_ours(self.rollback)
            remedy = "check that the folder can be written"
            with file_errors("be renamed", self.rollback, remedy):
                self.rollback.replace(self.last)
                sync_folder(self.checkpoints)

    @by_writer
    def delete_rollback(self) -> None:
        """Delete the rollback checkpoint, if there is one."""
        if self.rollback.exists():
            self._check_is_ours(self.rollback)
            self._delete([self.rollback])

    def numbered(self, step: int) -> Path:
        """Return the path of the checkpoint of a step."""
        return self.checkpoints / f"step-{step:08d}.safetensors"

    def _numbered(self) -> list[tuple[int, Path]]:
        """Return the numbered checkpoints of the run, in the order of their steps.

        Other files with such names are ignored.
        """
        found = []
        with file_errors("be read", self.checkpoints, "check the folder"):
            for path in self.checkpoints.glob("step-*.safetensors"):
                name = path.stem.removeprefix("step-")
                number = int(name) if name.isdecimal() else 0
                if path == self.numbered(number) and is_checkpoint(path):
                    found.append((number, path))
        return sorted(found)

    def _write(self, path: Path, checkpoint: Checkpoint) -> None:
        self._check_is_ours(path)
        write_checkpoint(path, checkpoint)

    def _check_is_ours(self, path: Path) -> None:
        """Raise `RunError` for a file that charlm did not write, and so must not replace."""
        with file_errors("be read", path, "check the file"):
            if os.path.lexists(path) and not is_checkpoint(path):
                raise RunError(f"{path}: not a checkpoint of charlm; move it away, and resume")

    def _delete(self, paths: list[Path]) -> None:
        for path in paths:
            with file_errors("be deleted", path, "check that the folder can be written"):
                path.unlink()
