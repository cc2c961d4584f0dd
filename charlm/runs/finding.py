"""Find run folders and the checkpoints in them."""

import re
from collections.abc import Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path

from charlm.errors import RunError, file_errors
from charlm.files.locations import from_user
from charlm.runs.hints import nearest_runs, runs_in
from charlm.runs.paths import RunPaths
from charlm.suggestions import did_you_mean_path


def newest_run(runs: Path) -> RunPaths:
    """Return the run folder below `runs` with the newest checkpoint; raises `RunError` for none."""
    saved = []
    with file_errors("be read", runs, "check the folder"):
        for kind in ("*", "*/member-*"):
            for path in runs.glob(f"{kind}/checkpoints/*.safetensors"):
                folder = runs / path.relative_to(runs).parts[0]
                with suppress(FileNotFoundError):  # a training in progress deletes old checkpoints
                    if not folder.name.startswith("."):
                        saved.append((path.stat().st_mtime, folder))
    if not saved:
        hint = did_you_mean_path(runs) or "train one with `charlm train`"
        raise RunError(f"{runs}: contains no run with a checkpoint; {hint}")
    return RunPaths(max(saved)[1])


def named_run(path: Path, runs: Path) -> Path:
    """Return the path, or the run with this name below `runs` if there is no such path."""
    with file_errors("be read", path, "check the path"):
        is_name = path.name == str(path) and not path.exists()
        return runs / path if is_name and (runs / path).is_dir() else path


def checkpoint_of(path: str | PathLike[str] | None, runs: str | PathLike[str]) -> Path:
    """Return the checkpoint that a user names, by path or by a name in `runs`; else the newest."""
    runs = from_user(runs)
    named = newest_run(runs).path if path is None else named_run(from_user(path), runs)
    return checkpoint_to_use(named, runs)


def checkpoint_to_use(path: Path, runs: Path = Path("runs")) -> Path:
    """Return the checkpoint that a path names: the file itself, or the best one of a run folder.

    Of an unfinished ensemble it is the best one of the last member that has one. If the path does
    not exist, the error suggests similar names in its folder and in `runs`.
    """
    with file_errors("be read", path, "check the path"):
        if not path.exists():
            raise RunError(f"{path}: no such run or checkpoint; {nearest_runs(path, runs)}")
        if not path.is_dir():
            return path
    with file_errors("be read", path, "check the folder"):
        members = sorted(path.glob("member-*"), key=lambda member: (len(member.name), member))
    folder, *trained = map(RunPaths, (path, *reversed(members)))
    best = [member.best for member in trained]
    last = [member.last for member in trained]
    for checkpoint in (folder.best, folder.last, *best, *last):
        if checkpoint.exists():
            return checkpoint
    hint = runs_in(path) or "give a run's folder or a checkpoint file"
    raise RunError(f"{path}: contains no checkpoint; {hint}")


def names_of_runs(checkpoints: Sequence[Path]) -> list[str]:
    """Return the names of the runs with these checkpoints; the paths, if names are not unique.

    A member has its ensemble's name, too. A checkpoint outside a run folder has its path.
    """
    names = [_name_of_run(path) for path in checkpoints]
    return names if len(set(names)) == len(names) else [str(path) for path in checkpoints]


def _name_of_run(checkpoint: Path) -> str:
    folder = checkpoint.absolute().parent
    if folder.name != "checkpoints":
        return str(checkpoint)
    *_, parent, name = ("", *folder.parent.parts)
    return f"{parent}/{name}" if re.fullmatch(r"member-\d+", name) else name
