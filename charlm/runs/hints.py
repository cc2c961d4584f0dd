"""Suggestions of run folders for a path that names none."""

import shlex
from contextlib import suppress
from pathlib import Path

from charlm.runs.run_folders import newest_first
from charlm.suggestions import did_you_mean_path

_MAX_NAMED_RUNS = 3
"""Number of run folders that an error names."""


def runs_in(folder: Path) -> str:
    """Return a hint that names the newest runs in a folder and counts the others, or ""."""
    runs = []
    with suppress(OSError):
        runs = newest_first(folder)
    newest = ", ".join(map(str, runs[:_MAX_NAMED_RUNS]))
    more = f" and {len(runs) - _MAX_NAMED_RUNS} more" if len(runs) > _MAX_NAMED_RUNS else ""
    return f"the runs in {folder} are {newest}{more}" if runs else ""


def nearest_runs(path: Path, runs: Path = Path("runs")) -> str:
    """Return a hint of existing runs for a path that does not exist."""
    with suppress(ValueError, OSError):
        path = path.relative_to(Path.cwd())  # shorter, and probably what the user typed
    hint = did_you_mean_path(path, [runs]) or runs_in(runs) or "check the path"
    option = "" if runs == Path("runs") else f" --runs {shlex.quote(str(runs))}"
    return f"{hint}{'' if hint.endswith('?') else ';'} `charlm runs{option}` lists all runs"
