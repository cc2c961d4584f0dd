"""Create new run folders."""

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from charlm.config.schema import Config
from charlm.errors import RunError, file_errors
from charlm.files.atomic import sync_folder
from charlm.files.build_folder import building_folder
from charlm.runs.folder import WRITE_REMEDY, RunFolder
from charlm.runs.names import check_name, exists_already, is_shown


def create_run_folder(
    runs: Path, name: str | None, stem: str, config: Config, launch: str | None = None
) -> RunFolder:
    """Create a new run folder below `runs`: `name`, or `stem` with the next free number.

    `launch` is the name of the `torchrun` launch that may resume the run. The folder appears with
    everything that resuming needs, whenever this process is killed.
    """
    if name is not None:
        check_name(name)
    candidates = [name] if name is not None else _numbered_names(stem)
    with building_folder(runs, WRITE_REMEDY, RunError) as building:
        folder = RunFolder(building / "run")
        with file_errors("be created", runs, WRITE_REMEDY):
            folder.checkpoints.mkdir(parents=True)
            folder.write_config(config)
            if launch is not None:
                folder.write_launch(launch)
            for path in (runs / candidate for candidate in candidates):
                if _rename_to_new(folder.path, path):
                    return RunFolder(path)
    raise exists_already(runs / str(name))


def _numbered_names(stem: str) -> Iterator[str]:
    stem = "".join(character if is_shown(character) else "-" for character in stem)
    stem = stem.lstrip(".") or "run"
    return (f"{stem}-{number}" for number in count(1))


def _rename_to_new(folder: Path, place: Path) -> bool:
    """Rename a folder durably if nothing has the new name; return whether it did."""
    if os.path.lexists(place):
        return False
    try:
        folder.rename(place)
    except OSError:
        if os.path.lexists(place):  # another process was quicker
            return False
        raise
    try:
        sync_folder(place.parent)
    except OSError:
        place.rename(folder)
        raise
    return True
