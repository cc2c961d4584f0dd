"""Merge the logs of an ensemble's members, one after another, in the ensemble's folder."""

import re
from pathlib import Path

from charlm.durable import write_whole
from charlm.errors import file_errors
from charlm.run import Run


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

    def go_back(self, step: int, sizes: dict[str, int]) -> None:
        """Drop what came after a checkpoint from the ensemble's logs, too."""
        super().go_back(step, sizes)
        merge_logs(self._whole)


def merge_logs(whole: Run) -> None:
    """Rewrite the logs of an ensemble from those of its members, atomically."""
    members: list[MemberRun] = []
    while (member := MemberRun(whole, len(members) + 1)).folder.exists():
        members.append(member)
    for log in (whole.metrics, whole.samples):
        with file_errors("be written", log, "free some space; then resume the run"):
            parts = [
                _numbered(path, path.read_bytes().decode("utf-8", "replace"), number)
                for number, member in enumerate(members, 1)
                if (path := member.folder / log.name).exists()
            ]
            if parts or log.exists():
                write_whole(log, "".join(parts).encode())


def _numbered(log: Path, text: str, number: int) -> str:
    """Return entries of a member's log with its number in each."""
    if log.suffix == ".jsonl":
        return re.sub(r"^\{", f'{{"member": {number}, ', text, flags=re.MULTILINE)
    return re.sub(r"^--- (step \d+ ---)$", rf"--- member {number}, \1", text, flags=re.MULTILINE)
