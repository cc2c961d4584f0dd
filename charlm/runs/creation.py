"""Create new run folders."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from charlm.config.schema import Config
from charlm.errors import RunError, file_errors
from charlm.files.atomic import sync_folder
from charlm.files.build_folder import building_folder
from charlm.runs.folder import WRITE_REMEDY, RunFolder
from charlm.runs.names import check_is_free, check_name, exists_already, is_shown
from charlm.runs.text_copy import keep_standard_input, path_of_copy


def create_run_folder(
    runs: Path, name: str | None, stem: str, config: Config, launch: str | None = None
) -> RunFolder:
    """Create a new run folder below `runs`: `name`, or `stem` with the next free number.

    `launch` is the name of the `torchrun` launch that may resume the run. The folder appears with
    everything that resuming needs, whenever this process is killed.
    """

    def fill(folder: RunFolder) -> None:
        folder.write_config(config)
        if launch is not None:
            folder.write_launch(launch)

    return _create(runs, name, stem, fill)


@dataclass
class NewRun:
    """The folder that a new run gets: below `runs`, with its `name` or a number after `stem`."""

    runs: Path
    name: str | None
    stem: str
    folder: RunFolder | None = None
    """The folder, if it was created before its config is known, with a copy of the text."""

    def create(self, config: Config, launch: str | None = None) -> RunFolder:
        """Create the folder, or complete the one with the text; the launch is as above."""
        if self.folder is None:
            return create_run_folder(self.runs, self.name, self.stem, config, launch)
        if launch is not None:
            self.folder.write_launch(launch)
        self.folder.write_config(config)
        return self.folder

    def keep_standard_input(self) -> Path:
        """Create the folder with a copy of standard input; return the path of the copy."""
        if self.name is not None:
            check_is_free(self.runs, self.name)  # before a long text is read
        self.folder = _create(
            self.runs, self.name, self.stem, lambda folder: keep_standard_input(folder.path)
        )
        return path_of_copy(self.folder.path)

    def discard_unless_begun(self) -> None:
        """Discard the folder with the text if it has got no config."""
        if self.folder is not None and not self.folder.has_config():
            self.folder.discard()


def _create(
    runs: Path, name: str | None, stem: str, fill: Callable[[RunFolder], None]
) -> RunFolder:
    """Create a folder that appears with all its files; `fill` writes them."""
    if name is not None:
        check_name(name)
    candidates = [name] if name is not None else _numbered_names(stem)
    with building_folder(runs, WRITE_REMEDY, RunError) as building:
        folder = RunFolder(building / "run")
        with file_errors("be created", runs, WRITE_REMEDY):
            folder.checkpoints.mkdir(parents=True)
            fill(folder)
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
