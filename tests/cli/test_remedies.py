"""A remedy fits the reason: space for a full disk, a limit for a file that is too large."""

import errno
import os
from pathlib import Path

import pytest
from support.commands import refused, run, train

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


BAD_TEXTS = {
    "UTF-16": ("The rain had stopped.\n" * 20).encode("utf-16"),
    "UTF-16 without a mark": ("The rain had stopped.\n" * 20).encode("utf-16-le"),
    "ISO-2022-JP": ("雨が止んだ。\n" * 20).encode("iso2022_jp"),
    "wrong byte": b"The rain had stopped\xff.\n" * 20,
}
READERS = {
    "eval": ("RUN", "--text", "TEXT"),
    "compare": ("RUN", "OTHER", "--text", "TEXT"),
    "context": ("RUN", "--text", "TEXT"),
    "surprise": ("RUN", "TEXT"),
    "originality": ("RUN", "TEXT"),
}


@pytest.fixture(scope="module")
def runs_of_utf_8(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs whose config names the encoding, so that no other one is recognised."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "text").write_text("The rain had stopped. " * 40)
    one, two = (
        train(folder / "text", folder / "runs", "--set=corpus.encoding=utf-8", steps=1)
        for _ in range(2)
    )
    return one, two


@pytest.mark.parametrize("kind", BAD_TEXTS)
@pytest.mark.parametrize("name", READERS)
def test_remedies_are_options_of_the_command(
    name: str, kind: str, runs_of_utf_8: tuple[Path, Path], tmp_path: Path
) -> None:
    """A command that takes no settings names none: the text is to be converted."""
    path = tmp_path / "text"
    path.write_bytes(BAD_TEXTS[kind])
    words = dict(zip(("RUN", "OTHER"), runs_of_utf_8, strict=True)) | {"TEXT": path}
    result = run(name, *(words.get(word, word) for word in READERS[name]))
    refused(result, str(path), "convert")
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("charlm: ")]
    assert "--set" not in error
    assert "corpus." not in error


@pytest.mark.parametrize("name", [*READERS, "data check"])
def test_no_setting_for_a_known_name(
    name: str, runs_of_utf_8: tuple[Path, Path], tmp_path: Path
) -> None:
    """The name of a text of the catalogue is no path; how to get it is no setting."""
    words = dict(zip(("RUN", "OTHER"), runs_of_utf_8, strict=True)) | {"TEXT": tmp_path / "faust"}
    arguments = [words.get(word, word) for word in READERS.get(name, ("TEXT",))]
    result = run(*name.split(), *arguments)
    refused(result, "faust")
    assert "--set" not in result.stderr
