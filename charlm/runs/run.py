"""Read a run folder: its config, its metrics and its samples, for programs and notebooks."""

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from charlm.config.schema import Config
from charlm.errors import ConfigError, RunError, file_errors
from charlm.files.locations import from_user
from charlm.files.untrusted import InvalidDataError, as_ascii, parse_json
from charlm.formatting import html_table
from charlm.runs.checkpoint import is_readable, read_checkpoint
from charlm.runs.folder import RunFolder

_SAMPLE_HEADING = re.compile(r"(?:\A|(?<=\n\n))--- (?:member (\d+), )?step (\d+) ---\n")

_SELDOM = (b'"validation_loss": ', b'"event": ', b'"epoch_loss": ')
"""Keys of the lines that no reader of a part of the log passes over."""


class Sample(NamedTuple):
    """A sample of text that was drawn during training."""

    step: int
    text: str
    """Bytes that are not UTF-8, of a byte model, are surrogates in it (PEP 383)."""
    member: int | None = None
    """Number of the network that drew it, in the run of an ensemble."""


class Run(os.PathLike[str]):
    """A run folder, to be read; `load`, `resume` and `open` take it as a path.

    Raises `RunError` if the folder contains neither a checkpoint nor a config.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = from_user(path)
        self._folder = RunFolder(self.path)
        if not self._folder.best.exists():
            self._folder.check_is_run()

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows."""
        losses = [line.get("validation_loss") for line in self.metrics()]
        best = min((loss for loss in losses if isinstance(loss, float)), default=None)
        return html_table(
            [
                ("run", self.path),
                ("model", self.config.cells),
                ("text", ", ".join(self.config.corpus.paths) or self.config.corpus.builtin),
                ("lowest validation loss", "" if best is None else f"{best:.4f} nats"),
            ]
        )

    @property
    def config(self) -> Config:
        """Return the settings of the run: from `config.yaml`, or a checkpoint if that is broken."""
        try:
            return self._folder.read_config()
        except (ConfigError, RunError):
            for path in (self._folder.last, self._folder.best):
                if is_readable(path):
                    return read_checkpoint(path).config
            raise

    def metrics(self, most: int | None = None) -> list[dict[str, Any]]:
        """Return the lines of `metrics.jsonl`: of training, of validation, and of other events.

        They have the keys `loss`, `validation_loss` and `event`. A line that a training in progress
        has not written completely is left out. With `most`, this many training lines of a long log
        are read, evenly spread, besides those that end an epoch. Raises `RunError` for lines that
        are not JSON.
        """
        lines = _read(self._folder.metrics).split(b"\n")[:-1]
        every = 1 if most is None else -(-len(lines) // most)
        return [
            _parse(self._folder.metrics, number, line)
            for number, line in enumerate(lines, 1)
            if number % every == 0 or any(key in line for key in _SELDOM)
        ]

    def epoch_loss(self, step: int) -> float | None:
        """Return the mean training loss of the last whole epoch up to a step, in nats.

        Returns None before the end of an epoch, and for an ensemble, whose networks count their own
        epochs.
        """
        losses = [
            line["epoch_loss"]
            for line in self.metrics()
            if "epoch_loss" in line and "member" not in line and line.get("step", step) <= step
        ]
        return losses[-1] if losses and isinstance(losses[-1], float) else None

    def samples(self) -> list[Sample]:
        """Return the samples in `samples.txt`, one for each validation of each network."""
        text = _read(self._folder.samples).decode("utf-8", "surrogateescape")
        _, *pieces = _SAMPLE_HEADING.split(text)
        entries = zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True)
        return [
            Sample(int(step), sample.removesuffix("\n\n"), int(member) if member else None)
            for member, step, sample in entries
            if sample.endswith("\n\n")
        ]


def _read(path: Path) -> bytes:
    """Return the content of a log; a run without a step may have none."""
    with file_errors("be read", path, "check the file"):
        return path.read_bytes() if path.exists() else b""


def _parse(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        entry = parse_json(as_ascii(line))
    except InvalidDataError:
        entry = None
    if not isinstance(entry, dict):
        raise RunError(f"{path}: line {number} is not a JSON object; correct that line")
    return entry
