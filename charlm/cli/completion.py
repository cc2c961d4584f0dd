"""Complete names of runs, texts and configs, and keys of `--set`, in a shell; without torch."""

import glob
import os
from pathlib import Path

import typer

from charlm.files.locations import shipped


def complete_run(context: typer.Context, incomplete: str) -> list[str]:
    """Return the run folders whose path begins with `incomplete`; without any, other paths."""
    folder = Path(context.params.get("runs") or "runs")
    named = [
        str(path.parent) for path in folder.glob("*/checkpoints") if path.parent.name[0] != "."
    ]
    return sorted(path for path in named if path.startswith(incomplete)) or _paths(incomplete)


def complete_input(incomplete: str) -> list[str]:
    """Return the configs and the paths that begin with `incomplete`."""
    return [*complete_config(incomplete), *_paths(incomplete)]


def complete_config(incomplete: str) -> list[str]:
    """Return the shipped configs whose names begin with `incomplete`."""
    names = sorted(path.stem for path in shipped("configs").glob("*.yaml"))
    return [name for name in names if name.startswith(incomplete)]


def complete_setting(incomplete: str) -> list[str]:
    """Return the keys that begin with `incomplete`, each followed by `=`."""
    from charlm.config.load import config_keys  # slow to import, and rarely needed

    return [f"{key}=" for key in config_keys() if key.startswith(incomplete)]


def _paths(incomplete: str) -> list[str]:
    """Return the visible paths that begin with `incomplete`; a folder ends with a separator."""
    found = sorted(glob.glob(f"{glob.escape(incomplete)}*"))  # noqa: PTH207 - keeps ./ and ~
    return [f"{path}{os.sep}" if os.path.isdir(path) else path for path in found]  # noqa: PTH112
