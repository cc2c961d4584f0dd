"""A remedy fits the reason: space for a full disk, a limit for a file that is too large."""

import errno
import os
from pathlib import Path

import pytest
from support.commands import train

from charlm.cli.streams import OutputError
from charlm.errors import CheckpointError, RunError, file_errors
from charlm.runs.checkpoint import read_checkpoint, write_checkpoint

FULL = (errno.ENOSPC, "free some space")
LARGE = (errno.EFBIG, "raise the limit on file sizes (ulimit -f)")
LOCKED = (errno.EACCES, "make it writable")


@pytest.mark.parametrize(("number", "remedy"), [FULL, LARGE, LOCKED])
def test_a_remedy_fits_the_reason(number: int, remedy: str) -> None:
    reason = OSError(number, os.strerror(number))
    with pytest.raises(RunError) as caught, file_errors("be written", "x", "free some space or y"):
        raise reason
    assert str(caught.value).endswith(f"; {remedy} or y")
    assert str(OutputError(reason)).endswith(f"; {remedy}, or redirect it")


def test_a_closed_output_needs_no_space() -> None:
    assert str(OutputError(OSError(errno.EBADF, "x"))) == "it is closed; redirect it"


@pytest.mark.parametrize(("number", "remedy"), [FULL, LARGE])
def test_whole_checkpoint_must_exist(
    number: int, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed write says that the previous checkpoint is whole only if there is one."""

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "text").write_text("The rain had stopped. " * 40)
    last = train(tmp_path / "text", tmp_path / "runs", steps=1) / "checkpoints/last.safetensors"
    checkpoint = read_checkpoint(last)
    monkeypatch.setattr(os, "fsync", fail)
    for path, said in ((tmp_path / "new", ""), (last, "; the previous checkpoint is whole")):
        with pytest.raises(CheckpointError) as caught:
            write_checkpoint(path, checkpoint)
        assert str(caught.value).endswith(f"; {remedy}{said}")
