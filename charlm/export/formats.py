"""The formats of `charlm export`, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Format:
    """How to write a checkpoint in a format."""

    write: Callable[[Path, Path], list[str]]
    """Writes a checkpoint to a new file or folder; returns lines for the user, or raises
    `CharlmError`. It imports what it needs when it is called, so that the help needs no torch."""
    ending: str
    """What follows the run's name in the default output, such as `.html`."""


def _write_onnx(checkpoint: Path, output: Path) -> list[str]:
    from charlm.export.onnx_file import write_onnx  # noqa: PLC0415 - it loads torch

    return write_onnx(checkpoint, output)


def _write_torch(checkpoint: Path, output: Path) -> list[str]:
    from charlm.export.torch_folder import write_torch  # noqa: PLC0415 - it loads torch

    return write_torch(checkpoint, output)


def _write_web(checkpoint: Path, output: Path) -> list[str]:
    from charlm.export.web import write_web  # noqa: PLC0415 - it loads jinja2 and numpy

    return write_web(checkpoint, output)


FORMATS: dict[str, Format] = {
    "onnx": Format(_write_onnx, ".onnx"),
    "torch": Format(_write_torch, "-torch"),
    "web": Format(_write_web, ".html"),
}
"""A format is a module of this package and an entry here."""
