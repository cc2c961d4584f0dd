"""The run folders of an ensemble's members, and their logs merged in the ensemble's folder."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from charlm.config.load import load_config
from charlm.corpus.vocabulary import bytes_of
from charlm.errors import CharlmError, file_errors
from charlm.files.atomic import write_whole
from charlm.runs.folder import RunFolder
from charlm.runs.logs import Logs, text_of


class MemberLogs(Logs):
    """The logs of a member; the ensemble's logs get each entry, too, with the member's number.

    The ensemble's logs can always be rebuilt from those of the members, from which a run resumes.
    """

    def __init__(self, path: Path, ensemble: RunFolder, number: int) -> None:
        super().__init__(path, is_writer=ensemble.is_writer)
        self._ensemble, self._number = ensemble, number

    def _append(self, path: Path, text: str) -> None:
        super()._append(path, text)
        super()._append(self._ensemble.path / path.name, _numbered(path, text, self._number))

    def cut(self, sizes: dict[str, int], unwritten: dict[str, str] | None = None) -> None:
        """Cut the logs, and merge the ensemble's again."""
        super().cut(sizes, unwritten)
        merge_logs(self._ensemble)


def member_folder(ensemble: RunFolder, number: int) -> RunFolder:
    """Return the run folder of a member; `number` counts from 1."""
    path = ensemble.path / f"member-{number}"
    logs = MemberLogs(path, ensemble, number)
    return RunFolder(path, is_writer=ensemble.is_writer, logs=logs)


@contextmanager
def locked_folder(path: Path, *, is_writer: bool) -> Iterator[RunFolder]:
    """Lock a run folder inside the block; for a member, lock the folder of its ensemble, too.

    The ensemble's logs are written along with the member's, and merged at the end.
    """
    named = path if path.name not in ("", "..") else path.resolve()
    ensemble, number = RunFolder(named.parent, is_writer=is_writer), _number_of(named)
    if number and _is_ensemble(ensemble):
        member = member_folder(ensemble, number)
        member.check_is_run()
        with ensemble.locked(), member.locked():
            _check_logs(ensemble)
            try:
                yield member
            except BaseException:
                with suppress(CharlmError):  # the original error is more useful
                    merge_logs(ensemble)
                raise
            merge_logs(ensemble)
    else:
        folder = RunFolder(path, is_writer=is_writer)
        folder.check_is_run()
        with folder.locked():
            yield folder


def _is_ensemble(folder: RunFolder) -> bool:
    """Return whether this is the run folder of an ensemble.

    A config in a folder without checkpoints may belong to another program.
    """
    path = folder.config_file
    with file_errors("be read", path, "check the folder"):
        is_run = path.exists() and folder.checkpoints.is_dir()
    return is_run and load_config(path).ensemble.is_wanted


def _number_of(path: Path) -> int:
    """Return the number of the member with this folder, or 0 for other names."""
    match = re.fullmatch("member-([1-9][0-9]{0,8})", path.name)
    return int(match[1]) if match else 0


def merge_logs(ensemble: RunFolder) -> None:
    """Rewrite the logs of an ensemble from those of its members, atomically."""
    if not ensemble.is_writer:
        return
    with file_errors("be read", ensemble.path, "check the folder"):
        numbers = sorted(filter(None, map(_number_of, ensemble.path.glob("member-*"))))
    _check_logs(ensemble)
    for log in (ensemble.metrics, ensemble.samples):
        with file_errors("be written", log, "free some space; then resume the run"):
            entries = [
                _numbered(path, text_of(path), number)
                for number in numbers
                if (path := ensemble.path / f"member-{number}" / log.name).exists()
            ]
            if entries or log.exists():
                write_whole(log, bytes_of("".join(entries)))


def _check_logs(ensemble: RunFolder) -> None:
    """Raise `RunError` if a log of an ensemble contains something that charlm did not write."""
    ensemble.logs.check(("member",))


def _numbered(log: Path, text: str, number: int) -> str:
    """Return entries of a member's log with its number in each."""
    if log.suffix == ".jsonl":
        return re.sub(r"^\{", f'{{"member": {number}, ', text, flags=re.MULTILINE)
    return re.sub(r"^--- (step \d+ ---)$", rf"--- member {number}, \1", text, flags=re.MULTILINE)
