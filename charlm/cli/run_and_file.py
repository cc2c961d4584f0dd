"""Tell a run from a text or a file where a command takes both as arguments."""

from pathlib import Path

from charlm.corpus.files import find_files
from charlm.errors import CharlmError
from charlm.files.locations import from_user


def run_and_file(run: Path | None, file: str | None) -> tuple[Path | None, str | None]:
    """Return the run and the text of a command with the arguments `[RUN] [FILE]`.

    A single argument is a text if it is `-` or a file that is not a checkpoint.
    """
    if run is not None and file is None and is_text(run):
        return None, str(run)
    return run, file


def run_and_any_file(files: list[Path], run: Path | None) -> tuple[Path | None, Path]:
    """Return the run and the file of a command with the arguments `[RUN] FILE` and `--run`.

    A single argument is the file, even if it is a checkpoint.
    """
    if len(files) > 2:
        raise CharlmError(f"{files[2]}: a run and one file are taken; run the command for each")
    if len(files) == 1:
        return run, files[0]
    if run is not None:
        raise CharlmError(f"the run is named twice, {files[0]} and --run {run}; omit one")
    return files[0], files[1]


def check_file(file: str | None) -> None:
    """Raise `CorpusError` for a text that is not there, before a model is loaded."""
    if file is not None and file != "-":
        find_files([file], is_setting=False)


def is_text(path: Path) -> bool:
    """Return whether an argument is `-` or a file, but no checkpoint."""
    if str(path) == "-":
        return True
    try:
        with from_user(path).open("rb") as file:
            return file.read(9)[8:] != b"{"  # where the header of a checkpoint begins
    except OSError:  # a folder, a name of a run, or a mistake
        return False
