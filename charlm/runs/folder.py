"""The files of a run folder: its config, its logs, its checkpoints, and its lock."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from charlm.config.load import load_config, to_yaml
from charlm.config.schema import Config
from charlm.errors import RunError, file_errors
from charlm.files.atomic import sync_folder, write_whole
from charlm.files.untrusted import read_bounded
from charlm.runs.checkpoint import (
    Checkpoint,
    is_checkpoint,
    is_readable,
    read_checkpoint,
    write_checkpoint,
)
from charlm.runs.hints import runs_in
from charlm.runs.logs import Logs
from charlm.runs.paths import RunPaths
from charlm.runs.starts import RESULT, read_starts, to_text
from charlm.runs.writer import by_writer

WRITE_REMEDY = "free some space, or choose another folder with --runs"

_LOCK_SECONDS = 0.2
"""Time in which a free lock can be had, although `charlm runs` tests it for a moment."""


class RunFolder(RunPaths):
    """The files of one run, `runs/<name>/`.

    config.yaml       every key of the config, to be read by people; before the first save, a
                      resume reads it, too, and that of an ensemble always
    environment.json  machine, versions and time: one entry per start, with the result of the run
                      once it is complete
    metrics.jsonl     one JSON object a line: training, validation, roll-backs
    samples.txt       a sample of text at each validation; both logs of an ensemble repeat those of
                      its members, with their numbers
    checkpoints/      best.safetensors, last.safetensors, and older ones where they are kept;
                      rollback.safetensors where last was saved because of a stop; of an
                      ensemble only best.safetensors

    Where several processes train, each has the object, and `is_writer` is true in the first one.
    """

    def __init__(self, path: Path, *, is_writer: bool = True, logs: Logs | None = None) -> None:
        super().__init__(path)
        self.is_writer = is_writer
        self.logs = logs or Logs(path, is_writer=is_writer)

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    @property
    def metrics(self) -> Path:
        return self.logs.metrics

    @property
    def samples(self) -> Path:
        return self.logs.samples

    def write_config(self, config: Config) -> None:
        """Write the config atomically."""
        self._write_whole(self.config_file, to_yaml(config))

    def read_config(self) -> Config:
        """Return the config in config.yaml; raises `RunError` if there is none."""
        if not self.has_config():
            hint = runs_in(self.path) or "give the folder of a run"
            raise RunError(f"{self.path}: contains no checkpoint to resume; {hint}")
        return load_config(self.config_file)

    def has_config(self) -> bool:
        """Return whether config.yaml has content: a crash may leave an empty file, or none.

        A config without a folder of checkpoints beside it is not that of a run.
        """
        with file_errors("be read", self.path, "check the path"):
            if not self.checkpoints.is_dir():
                return False
            return self.config_file.exists() and self.config_file.stat().st_size > 0

    def check_is_run(self) -> None:
        """Raise `RunError` if there is neither a checkpoint to resume nor a config."""
        with file_errors("be read", self.path, "check the path"):
            if self.last.exists():
                return
            self.check_exists()
        self.read_config()

    def write_launch(self, name: str) -> None:
        """Write the name of the `torchrun` launch that may resume the run."""
        self._write_whole(self.launch, name)

    def was_made_by(self, launch: str) -> bool:
        """Return whether the `torchrun` launch of this name has made the folder."""
        with file_errors("be read", self.launch, "move it away"):
            return self.launch.is_file() and read_bounded(self.launch, 1) == launch.encode()

    def note_environment(self, entry: dict[str, Any]) -> None:
        """Add an entry to `environment.json`; raises `RunError` for a file that is not charlm's."""
        self._write_whole(self.environment, to_text([*read_starts(self.environment), entry]))

    @by_writer
    def note_result(self, result: dict[str, Any]) -> None:
        """Add the result of a complete run to the entry of its last start."""
        if starts := read_starts(self.environment):  # somebody may have deleted it meanwhile
            starts[-1] |= {RESULT: result}
            self._write_whole(self.environment, to_text(starts))

    @by_writer
    def _write_whole(self, path: Path, text: str) -> None:
        with file_errors("be written", path, WRITE_REMEDY):
            write_whole(path, text.encode())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder inside the block; raises `RunError` if another process trains in it."""
        if not self.is_writer:
            yield
            return
        self._check_files()
        lock = FileLock(self.lock, timeout=_LOCK_SECONDS)
        with file_errors("be locked", self.path, "check that it can be written"):
            try:
                lock.acquire()
            except Timeout:
                raise RunError(
                    f"{self.path}: another process trains in it; wait, or choose another --name"
                ) from None
        try:
            yield
        finally:
            lock.release()

    def _check_files(self) -> None:
        """Raise `RunError` if a file or folder is something else, such as a link."""
        for path in self.path.rglob("*"):
            if path.is_symlink():  # charlm would write to another place
                raise RunError(f"{path}: a symbolic link; replace it with what it points to")
            if path.is_fifo() or path.is_char_device():  # opening it would block
                raise RunError(f"{path}: neither a file nor a folder; move it away")

    @by_writer
    def discard(self) -> None:
        """Delete a run folder without training steps, unless it contains other files."""
        files = [self.config_file, self.environment, self.launch, self.lock]
        saved = [self.last, self.numbered(0)]
        if set(self.path.rglob("*")) <= {self.checkpoints, *saved, *files}:
            with suppress(OSError):
                for path in (*saved, *files):
                    path.unlink(missing_ok=True)
                self.checkpoints.rmdir()
                self.path.rmdir()

    @by_writer
    def discard_after(self, step: int, log_sizes: dict[str, int]) -> None:
        """Delete the logs and checkpoints of later steps: training resumes at this one."""
        self._delete([path for number, path in self._numbered() if number > step])
        self.logs.cut(log_sizes)

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
