"""The logs of a run folder: metrics and samples of text."""

import json
import re
from pathlib import Path
from typing import Any

from charlm.corpus.vocabulary import bytes_of
from charlm.errors import RunError, file_errors
from charlm.files.atomic import sync
from charlm.runs.writer import by_writer

_REMEDY = "free some space, or choose another folder with --runs; then resume the run"


class Logs:
    """The files `metrics.jsonl` and `samples.txt`; resuming and rolling back cut them."""

    def __init__(self, folder: Path, *, is_writer: bool = True) -> None:
        self.is_writer = is_writer
        self.metrics = folder / "metrics.jsonl"
        self.samples = folder / "samples.txt"
        self.failure: RunError | None = None
        """Why an entry could not be written; training saves, and ends with this error."""
        self.unwritten: dict[str, str] = {}
        """Entries that could not be written, by the name of their file: a checkpoint has them."""
        self._whole_sizes: dict[str, int] = {}
        """Sizes of these files without half-written entries."""

    def add_metrics(self, line: dict[str, Any]) -> None:
        """Append a line to the metrics."""
        self._add(self.metrics, json.dumps(line, allow_nan=False) + "\n")

    def add_sample(self, step: int, text: str) -> None:
        """Append a sample that was drawn after a step; surrogates for raw bytes become these."""
        self._add(self.samples, f"--- step {step} ---\n{text}\n\n")

    def check(self, kinds: tuple[str, ...] = ("step", "event")) -> None:
        """Raise `RunError` if a log contains something that charlm did not write.

        `kinds` are the first keys of lines of the metrics; entries of the samples begin with the
        first one of them. A crash may have left half an entry at the end, or zeros in its place.
        """
        begin, line = f"--- {kinds[0]} ", re.compile(rf'\{{"(?:{"|".join(kinds)})": .*\}}')
        for log in self._existing():
            with file_errors("be read", log, "check the file"):
                *whole, last = text_of(log).rstrip("\0").split("\n")
            if log == self.metrics:
                begins = any(_begins(last, f'{{"{kind}": ') for kind in kinds)
                is_ours = begins and all(map(line.match, whole))
            else:
                is_ours = _begins("\n".join([*whole, last]), begin)
            if not is_ours:
                raise foreign_file_error(log)

    @by_writer
    def _add(self, path: Path, text: str) -> None:
        """Append an entry; keep it, and the reason, if it cannot be written."""
        if path.name in self.unwritten:
            self.unwritten[path.name] += text
            return
        size = path.stat().st_size if path.exists() else 0
        try:
            self._append(path, text)
        except RunError as error:
            self.failure = self.failure or error
            self.unwritten[path.name], self._whole_sizes[path.name] = text, size

    @by_writer
    def _append(self, path: Path, text: str) -> None:
        with (
            file_errors("be written", path, _REMEDY),
            path.open("ab") as file,
        ):
            file.write(bytes_of(text))

    def sync(self) -> None:
        """Wait until the logs are on the disk: a checkpoint contains their sizes."""
        for path in self._existing():
            with file_errors("be written", path, _REMEDY):
                sync(path)

    def sizes(self) -> dict[str, int]:
        """Return the sizes in bytes, to `cut` the logs to them later."""
        return {path.name: path.stat().st_size for path in self._existing()} | self._whole_sizes

    @by_writer
    def cut(self, sizes: dict[str, int], unwritten: dict[str, str] | None = None) -> None:
        """Remove what was written after the logs had these sizes: training repeats it.

        Then write the entries that could not be written before.
        """
        self.unwritten, self._whole_sizes = {}, {}
        for path in self._existing():
            size = max(0, sizes.get(path.name, 0))
            if path.stat().st_size > size:
                with (
                    file_errors("be cut", path, "check that it can be written"),
                    path.open("r+b") as file,
                ):
                    file.truncate(size)
        for path in (self.metrics, self.samples):
            if text := (unwritten or {}).get(path.name):
                self._append(path, text)

    def _existing(self) -> list[Path]:
        return [path for path in (self.metrics, self.samples) if path.exists()]


def text_of(log: Path) -> str:
    """Return the text of a log; `bytes_of` gives the same bytes, raw ones of samples included."""
    return log.read_bytes().decode("utf-8", "surrogateescape")


def foreign_file_error(path: Path) -> RunError:
    """Return the error for a file that charlm did not write and must not replace."""
    return RunError(f"{path}: not a file that charlm wrote; move it away, and resume")


def _begins(text: str, start: str) -> bool:
    """Return whether a text, which may be cut short, begins like this."""
    return text.startswith(start) or start.startswith(text)
