"""A run is a folder: its config, its logs, and its checkpoints."""

import json
import os
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from charlm.config.load import load_config, to_yaml
from charlm.config.schema import Config, CorpusConfig
from charlm.errors import RunError, file_errors
from charlm.files.atomic import sync, sync_folder, write_whole
from charlm.files.build_folder import building_folder
from charlm.files.untrusted import InvalidDataError, as_ascii, parse_json, read_bounded
from charlm.runs.checkpoint import Checkpoint, is_checkpoint, read_checkpoint, write_checkpoint
from charlm.suggestions import did_you_mean_path

_MOST_NAMED = 3
"""Number of runs that an error names."""
_REMEDY = "free some space, or choose another folder with --runs"


class Run:
    """The files of a run, `runs/<name>/`.

    config.yaml       every key of the config, as resolved
    environment.json  machine, versions and time: one entry per start
    metrics.jsonl     one JSON object a line: training, validation, roll-backs
    samples.txt       a sample of text at each validation; both logs of an ensemble repeat those of
                      its members, with their numbers
    checkpoints/      best.safetensors, last.safetensors, and older ones where they are kept;
                      rollback.safetensors where last was saved because of a stop; of an
                      ensemble only best.safetensors
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config_file = folder / "config.yaml"
        self.environment = folder / "environment.json"
        self.metrics = folder / "metrics.jsonl"
        self.samples = folder / "samples.txt"
        self.launch = folder / ".launch"
        self.checkpoints = folder / "checkpoints"
        self.best = self.checkpoints / "best.safetensors"
        self.last = self.checkpoints / "last.safetensors"
        self.rollback = self.checkpoints / "rollback.safetensors"

    @classmethod
    def create(
        cls, runs: Path, name: str | None, stem: str, config: Config, launch: str | None = None
    ) -> "Run":
        """Make a new folder: `name`, or `stem` with the next free number.

        `launch` is the start of `torchrun` that may take the run up. The folder appears with all
        that it needs to be gone on with, whenever this process is killed.
        """
        if name is not None and not _is_file_name(name):
            raise RunError(
                f"--name {name!r}: should be the name of a folder, with characters that can be "
                "printed; --runs gives its parent folder"
            )
        stem = "".join(character if _is_shown(character) else "-" for character in stem)
        if name is not None and name.startswith("."):
            raise RunError(f"--name {name}: must not begin with a dot; choose another name")
        stem = stem.lstrip(".") or "run"
        candidates = [name] if name is not None else (f"{stem}-{number}" for number in count(1))
        with building_folder(runs, _REMEDY, RunError) as building:
            made = cls(building / "run")
            with file_errors("be made", runs, _REMEDY):
                made.checkpoints.mkdir(parents=True)
                made.write_config(config)
                if launch is not None:
                    made._write_whole(made.launch, launch)
                for folder in (runs / candidate for candidate in candidates):
                    if _takes_place(made.folder, folder):
                        return cls(folder)
        raise RunError(
            f"{runs / str(name)}: exists already; choose another --name, or go on with "
            f"`charlm train --resume {runs / str(name)}`"
        )

    def write_config(self, config: Config) -> None:
        """Write the config; no crash leaves half of one."""
        self._write_whole(self.config_file, to_yaml(config))

    def read_config(self) -> Config | None:
        """Return the config; none where a crash has left nothing of it but a checkpoint."""
        with file_errors("be read", self.folder, "check the path"):
            if self.config_file.exists() and self.config_file.stat().st_size > 0:
                return load_config(self.config_file)
            if self.last.exists():
                return None
            if not self.folder.exists():
                raise RunError(f"{self.folder}: no such run; {_nearest_runs(self.folder)}")
        hint = _runs_in(self.folder) or "give the folder of a run"
        raise RunError(f"{self.folder}: contains no checkpoint to resume; {hint}")

    def was_made_by(self, name: str) -> bool:
        """Say whether that start of `torchrun` has made the run."""
        with file_errors("be read", self.launch, "remove it"):
            return self.launch.is_file() and read_bounded(self.launch, 1) == name.encode()

    def note_environment(self, entry: dict[str, Any]) -> None:
        """Add an entry to `environment.json`; one that is no list of entries is begun anew."""
        try:
            entries = parse_json(as_ascii(read_bounded(self.environment, megabytes=16)))
        except (OSError, InvalidDataError):
            entries = []
        entries = [*(entries if isinstance(entries, list) else []), entry]
        self._write_whole(self.environment, json.dumps(entries, indent=1) + "\n")

    def _write_whole(self, path: Path, text: str) -> None:
        with file_errors("be written", path, _REMEDY):
            write_whole(path, text.encode())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process from training in this folder; raises `RunError` if one does."""
        for path in self.folder.rglob("*"):
            if path.is_symlink():  # what is written to it would be written elsewhere
                raise RunError(f"{path}: a symbolic link; put in its place what it points to")
            if path.is_fifo() or path.is_char_device():  # on which one would wait for ever
                raise RunError(f"{path}: neither a file nor a folder; remove it")
        lock = FileLock(self.folder / ".lock", timeout=0)
        with file_errors("be locked", self.folder, "check that it can be written"):
            try:
                lock.acquire()
            except Timeout:
                raise RunError(
                    f"{self.folder}: another process trains in it; wait, or choose another --name"
                ) from None
        try:
            yield
        finally:
            lock.release()

    def discard(self) -> None:
        """Delete a run without training steps, unless it contains other files."""
        files = (self.config_file, self.environment, self.launch, self.folder / ".lock")
        own = {*files, self.checkpoints, self.last, self.numbered(0)}
        if set(self.folder.rglob("*")) <= own:
            with suppress(OSError):
                for path in (self.last, self.numbered(0), *files):
                    path.unlink(missing_ok=True)
                self.checkpoints.rmdir()
                self.folder.rmdir()

    def log_metrics(self, line: dict[str, Any]) -> None:
        self._append(self.metrics, json.dumps(line, allow_nan=False) + "\n")

    def log_sample(self, step: int, text: str) -> None:
        self._append(self.samples, f"--- step {step} ---\n{text}\n\n")

    def _append(self, path: Path, text: str) -> None:
        with (
            file_errors("be written", path, f"{_REMEDY}; then resume the run"),
            path.open("a", encoding="utf-8", errors="replace", newline="") as file,
        ):
            file.write(text)

    def log_sizes(self) -> dict[str, int]:
        """Return the sizes of the logs: a checkpoint keeps them, for `discard_after`."""
        logs = {path.name: path for path in (self.metrics, self.samples)}
        return {name: path.stat().st_size for name, path in logs.items() if path.exists()}

    def discard_after(self, step: int, log_sizes: dict[str, int]) -> None:
        """Delete what was logged and saved after a step: training resumes there."""
        self._delete([path for number, path in self._numbered() if number > step])
        for path in (self.metrics, self.samples):
            size = max(0, log_sizes.get(path.name, 0))
            if path.exists() and path.stat().st_size > size:
                with (
                    file_errors("be cut", path, "check that it can be written"),
                    path.open("r+b") as f,
                ):
                    f.truncate(size)

    def save_last(self, checkpoint: Checkpoint, step: int, keep: int) -> None:
        """Write the checkpoint to resume from; keep up to `keep` older ones under their steps."""
        for log in (self.metrics, self.samples):
            if log.exists():  # the checkpoint contains their sizes
                with file_errors("be written", log, f"{_REMEDY}; then resume the run"):
                    sync(log)
        if keep:
            self._write(self.numbered(step), checkpoint)
            older = self._numbered()[: -keep - 1]  # the newest is the last once more
            self._delete([path for _, path in older])
        self._write(self.last, checkpoint)

    def copy_last_to_rollback(self) -> None:
        """Keep the last checkpoint as the one to roll back to."""
        if self.last.exists():
            self._write(self.rollback, read_checkpoint(self.last))

    def rename_rollback_to_last(self) -> None:
        """Make the rollback checkpoint, if there is one, the last checkpoint."""
        if self.rollback.exists():
            self._check_is_ours(self.rollback)
            remedy = "check that the folder can be written"
            with file_errors("be renamed", self.rollback, remedy):
                self.rollback.replace(self.last)
                sync_folder(self.checkpoints)

    def delete_rollback(self) -> None:
        """Delete the rollback checkpoint, if there is one."""
        if self.rollback.exists():
            self._check_is_ours(self.rollback)
            self._delete([self.rollback])

    def numbered(self, step: int) -> Path:
        """Return where the checkpoint of a step is kept."""
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
        """Raise `RunError` for a file that charlm did not write: charlm must not replace it."""
        with file_errors("be read", path, "check the file"):
            if os.path.lexists(path) and not is_checkpoint(path):
                raise RunError(f"{path}: not a checkpoint of charlm; move it away, and resume")

    def _delete(self, paths: list[Path]) -> None:
        for path in paths:
            with file_errors("be deleted", path, "check that the folder can be written"):
                path.unlink()

    def save_best(self, checkpoint: Checkpoint) -> None:
        self._write(self.best, checkpoint)

    def note_text(self, corpus: CorpusConfig) -> None:
        """Store the new path of the text in the best checkpoint, from which `eval` reads it."""
        if self.best.exists():
            best = read_checkpoint(self.best)
            config = best.config.replace(corpus=corpus)
            self._write(self.best, replace(best, config=config))


class OthersRun(Run):
    """The run of a process that leaves it to another one to write its files."""

    def _write_whole(self, path: Path, text: str) -> None:
        pass

    @contextmanager
    def locked(self) -> Iterator[None]:
        yield

    def discard(self) -> None:
        pass

    def _append(self, path: Path, text: str) -> None:
        pass

    def discard_after(self, step: int, log_sizes: dict[str, int]) -> None:
        pass

    def save_last(self, checkpoint: Checkpoint, step: int, keep: int) -> None:
        pass

    def copy_last_to_rollback(self) -> None:
        pass

    def rename_rollback_to_last(self) -> None:
        pass

    def delete_rollback(self) -> None:
        pass

    def save_best(self, checkpoint: Checkpoint) -> None:
        pass

    def note_text(self, corpus: CorpusConfig) -> None:
        pass


def _takes_place(folder: Path, place: Path) -> bool:
    """Rename a folder, if there is nothing of that name; it is back if that may not last."""
    if os.path.lexists(place):
        return False
    try:
        folder.rename(place)
    except OSError:
        if os.path.lexists(place):  # somebody else was quicker
            return False
        raise
    try:
        sync_folder(place.parent)
    except OSError:
        place.rename(folder)
        raise
    return True


def _is_file_name(name: str) -> bool:
    try:
        possible = b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:  # a lone half of a pair
        return False
    is_shown = all(map(_is_shown, name))
    return possible and is_shown and Path(name).name == name and name not in ("", "..")


def _is_shown(character: str) -> bool:
    """Return whether a character is visible in a printed run name; all spaces count as visible."""
    return character.isprintable() or unicodedata.category(character) == "Zs"


def newest_run(runs: Path) -> Run:
    """Return the run under a folder whose checkpoint was written last; raises `RunError`."""
    saved = []
    with file_errors("be read", runs, "check the folder"):
        for kind in ("*", "*/member-*"):
            for path in runs.glob(f"{kind}/checkpoints/*.safetensors"):
                folder = runs / path.relative_to(runs).parts[0]
                with suppress(FileNotFoundError):  # a running training deletes old checkpoints
                    if not folder.name.startswith("."):
                        saved.append((path.stat().st_mtime, folder))
    if not saved:
        hint = did_you_mean_path(runs) or "train one with `charlm train`"
        raise RunError(f"{runs}: contains no run with a checkpoint; {hint}")
    return Run(max(saved)[1])


def _runs_in(folder: Path) -> str:
    """Name the newest runs of a folder and count the others; "" if there are none."""
    runs = []
    with suppress(OSError):
        for checkpoints in folder.glob("*/checkpoints"):
            if not checkpoints.parent.name.startswith("."):
                runs.append((checkpoints.stat().st_mtime, str(checkpoints.parent)))
    newest = ", ".join(path for _, path in sorted(runs, reverse=True)[:_MOST_NAMED])
    more = f" and {len(runs) - _MOST_NAMED} more" if len(runs) > _MOST_NAMED else ""
    return f"the runs in {folder} are {newest}{more}" if runs else ""


def _nearest_runs(path: Path, runs: Path = Path("runs")) -> str:
    """Suggest existing paths for one that does not exist."""
    with suppress(ValueError, OSError):
        path = path.relative_to(Path.cwd())  # probably as the user typed it
    return did_you_mean_path(path, [runs]) or _runs_in(runs) or "check the path"


def checkpoint_to_use(path: Path, runs: Path = Path("runs")) -> Path:
    """Return the checkpoint that a path names: the file itself, or the best one of a run folder.

    Of an unfinished ensemble it is the best one of the last member that has one. If the path does
    not exist, the error suggests similar names in its folder and in `runs`.
    """
    with file_errors("be read", path, "check the path"):
        if not path.exists():
            raise RunError(f"{path}: no such run or checkpoint; {_nearest_runs(path, runs)}")
        if not path.is_dir():
            return path
    with file_errors("be read", path, "check the folder"):
        members = sorted(path.glob("member-*"), key=lambda member: (len(member.name), member))
    whole, *trained = map(Run, (path, *reversed(members)))
    ways = (whole.best, whole.last, *(m.best for m in trained), *(m.last for m in trained))
    for checkpoint in ways:
        if checkpoint.exists():
            return checkpoint
    hint = _runs_in(path) or "give a run's folder or a checkpoint file"
    raise RunError(f"{path}: contains no checkpoint; {hint}")
