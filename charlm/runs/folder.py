"""The run folder: its config, the record of its starts, its lock, its checkpoints and logs."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from charlm.config.load import load_config, to_yaml
from charlm.config.schema import Config
from charlm.errors import RunError, file_errors
from charlm.files.atomic import write_whole
from charlm.files.untrusted import read_bounded
from charlm.runs.hints import runs_in
from charlm.runs.report_file import is_report
from charlm.runs.run_checkpoints import RunCheckpoints
from charlm.runs.starts import RESULT, read_starts, to_text
from charlm.runs.text_copy import own_copy
from charlm.runs.writer import by_writer

WRITE_REMEDY = "free some space, or choose another folder with --runs"

_LOCK_SECONDS = 0.2
"""Time to wait for a lock, which `charlm runs` may hold for a moment."""


class RunFolder(RunCheckpoints):
    """The files of one run, `runs/<name>/`.

    config.yaml       every key of the config, for people; a resume reads it before the first save,
                      and always in the run of an ensemble
    environment.json  machine, versions and time: one entry per start, with the result of the run
                      once it is complete
    standard-input.txt   the text, if it came from standard input; a marker shows that charlm
                      wrote it
    metrics.jsonl     one JSON object per line: training, validation, rollbacks
    samples.txt       a sample of text at each validation; both logs of an ensemble repeat those of
                      its members, with their numbers
    report.html       the page of `charlm report`, also written at the end of a training
    checkpoints/      best.safetensors, last.safetensors, and older ones where they are kept;
                      rollback.safetensors where last was saved because of a stop; of an
                      ensemble only best.safetensors

    Where several processes train, each has the object, and `is_writer` is true in the first one.
    """

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

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

        A config without a folder of checkpoints beside it does not belong to a run.
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
        files = [self.config_file, self.environment, self.launch, self.lock, *own_copy(self.path)]
        saved = [self.last, self.numbered(0)]
        with suppress(OSError):  # a file that cannot be read is not known to be charlm's
            files += [self.report] if is_report(self.report) else []
        if set(self.path.rglob("*")) <= {self.checkpoints, *saved, *files}:
            with suppress(OSError):
                for path in (*saved, *files):
                    path.unlink(missing_ok=True)
                self.checkpoints.rmdir()
                self.path.rmdir()
