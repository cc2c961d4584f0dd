"""Merge the logs of an ensemble's members, one after another, in the ensemble's folder."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from charlm.config.load import load_config
from charlm.errors import CharlmError, file_errors
from charlm.files.atomic import write_whole
from charlm.runs.folder import Run


class MemberRun(Run):
    """The run of a member: what it logs is in its own logs and, with its number, in the ensemble's.

    The ensemble's logs always follow from those of the members, by which a run is resumed.
    """

    def __init__(self, whole: Run, number: int) -> None:
        """`number` counts from 1."""
        super().__init__(whole.folder / f"member-{number}")
        self._whole, self._number = whole, number

    def _append(self, path: Path, text: str) -> None:
        super()._append(path, text)
        super()._append(self._whole.folder / path.name, _numbered(path, text, self._number))

    def discard_after(self, step: int, log_sizes: dict[str, int]) -> None:
        """Drop what came after a checkpoint from the ensemble's logs, too."""
        super().discard_after(step, log_sizes)
        merge_logs(self._whole)


class LoneMemberRun(MemberRun):
    """The run of a member that is resumed by itself: it also updates the ensemble's logs."""

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the ensemble's folder, too: its logs are written; they are merged at the end."""
        with self._whole.locked(), super().locked():
            try:
                yield
            finally:
                merge_logs(self._whole)


def as_member(run: Run) -> Run:
    """Return the run as that of a member if its folder lies in that of an ensemble."""
    folder = run.folder if run.folder.name not in ("", "..") else run.folder.resolve()
    number, whole = _number_of(folder), Run(folder.parent)
    if type(run) is Run and number:  # another process writes the files of other types
        with suppress(CharlmError):
            if whole.config_file.exists() and load_config(whole.config_file).ensemble.is_wanted:
                return LoneMemberRun(whole, number)
    return run


def _number_of(folder: Path) -> int:
    """Return the number of the member with this folder, or 0 for other names."""
    found = re.fullmatch("member-([1-9][0-9]{0,8})", folder.name)
    return int(found[1]) if found else 0


def merge_logs(whole: Run) -> None:
    """Rewrite the logs of an ensemble from those of its members, atomically."""
    with file_errors("be read", whole.folder, "check the folder"):
        numbers = sorted(filter(None, map(_number_of, whole.folder.glob("member-*"))))
    members = [MemberRun(whole, number) for number in numbers]
    for log in (whole.metrics, whole.samples):
        with file_errors("be written", log, "free some space; then resume the run"):
            parts = [
                _numbered(path, path.read_bytes().decode("utf-8", "replace"), number)
                for number, member in zip(numbers, members, strict=True)
                if (path := member.folder / log.name).exists()
            ]
            if parts or log.exists():
                write_whole(log, "".join(parts).encode())


def _numbered(log: Path, text: str, number: int) -> str:
    """Return entries of a member's log with its number in each."""
    if log.suffix == ".jsonl":
        return re.sub(r"^\{", f'{{"member": {number}, ', text, flags=re.MULTILINE)
    return re.sub(r"^--- (step \d+ ---)$", rf"--- member {number}, \1", text, flags=re.MULTILINE)
