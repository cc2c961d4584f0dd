"""The run folders in a folder."""

from contextlib import suppress
from pathlib import Path


def newest_first(folder: Path) -> list[Path]:
    """Return the runs in a folder, sorted by when their checkpoints changed; may raise `OSError`.

    Hidden folders, and runs that are being removed, are left out.
    """
    runs = []
    for checkpoints in folder.glob("*/checkpoints"):
        run = checkpoints.parent
        with suppress(FileNotFoundError):
            if not run.name.startswith("."):
                runs.append((checkpoints.stat().st_mtime, run))
    return [run for _, run in sorted(runs, reverse=True)]
