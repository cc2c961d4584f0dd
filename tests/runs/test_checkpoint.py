"""Checkpoints: what is read is what was written, and nothing but a whole one is read."""

import json
import os
import pickle
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.properties import examples

from charlm import resume
from charlm.config.schema import Config, ModelConfig
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import CheckpointError
from charlm.kernels.compute import Compute
from charlm.models.language_model import LanguageModel
from charlm.runs import checkpoint as checkpoint_module
from charlm.runs.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from charlm.runs.checkpoint_header import FORMAT_VERSION


def make_checkpoint(symbols: tuple[int, ...] = (10, 97, 0xD800, 0x1F600)) -> Checkpoint:
    config = Config(model=ModelConfig(hidden_size=4, embedding_size=3))
    model = LanguageModel(config.model, len(symbols) + 1)
    model.initialize(torch.Generator().manual_seed(0))
    return Checkpoint(
        config,
        Vocabulary(symbols),
        "fingerprint",
        model.state_dict(),
        {"state.0.0": torch.ones(2, 4), "generator": torch.arange(7, dtype=torch.uint8)},
        {"step": 3, "position": [1, 2], "loss": 0.1 + 0.2, "best": None},
        compute=Compute("bfloat16", 3),
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "last.safetensors"
    write_checkpoint(path, make_checkpoint())
    return path


def test_reading_gives_what_was_written(written: Path) -> None:
    before, after = make_checkpoint(), read_checkpoint(written)
    assert after.config == before.config
    assert after.compute == before.compute
    assert after.vocabulary == before.vocabulary
    assert after.fingerprint == before.fingerprint
    assert after.training_counters == before.training_counters
    for mine, theirs in (
        (before.weights, after.weights),
        (before.training_tensors, after.training_tensors),
    ):
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert after.make_model().num_parameters == sum(t.numel() for t in before.weights.values())


def test_writing_is_reproducible(written: Path, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "again", make_checkpoint())
    assert (tmp_path / "again").read_bytes() == written.read_bytes()


def test_any_flipped_byte_is_noticed(written: Path, tmp_path: Path) -> None:
    data = written.read_bytes()

    @given(st.integers(0, len(data) - 1), st.integers(1, 255))
    @examples(300)
    def flip(place: int, mask: int) -> None:
        damaged = bytearray(data)
        damaged[place] ^= mask
        refuse(bytes(damaged))

    def refuse(damaged: bytes) -> None:
        path = tmp_path / "damaged"
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            read_checkpoint(path)

    flip()


@given(st.data())
@examples(100)
def test_other_length_is_refused(data: st.DataObject) -> None:
    """A file that is truncated or longer is refused."""
    whole = whole_bytes()
    if data.draw(st.booleans()):
        damaged = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        damaged = whole + data.draw(st.binary(min_size=1, max_size=20))
    assert_refused(damaged)


@given(
    st.one_of(
        st.binary(max_size=200), st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace"))
    )
)
def test_other_files_are_refused(content: bytes) -> None:
    assert_refused(content)


def test_invalid_header_is_refused() -> None:
    for header in (b"[]", b"{}", b'{"__metadata__": 3}', b'{"__metadata__": {"format": "charlm"}}'):
        assert_refused(len(header).to_bytes(8, "little") + header)
    assert_refused((2**63).to_bytes(8, "little") + b"{}")
    assert_refused(b"[" * 100_000)


@pytest.mark.parametrize("digest", ["\ud800", "", "0", None, [], 7, "é" * 64])
def test_invalid_digest_is_refused(digest: Any) -> None:
    about = json.dumps({"format_version": FORMAT_VERSION, "sha256": digest})
    header = json.dumps({"__metadata__": {"charlm": about}}).encode()
    assert_refused(len(header).to_bytes(8, "little") + header)


LACKING = [
    "checkpoint_digest.hashlib.sha256",
    "checkpoint.safetensors.torch.load",
    "checkpoint._group",
]


@pytest.mark.parametrize("lacking", LACKING)
def test_a_lack_of_memory_is_an_error(
    lacking: str, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(f"charlm.runs.{lacking}", fail)
    with pytest.raises(CheckpointError, match="not enough memory"):
        read_checkpoint(written)


def whole_bytes() -> bytes:
    if not _WHOLE:
        path = _scratch("whole")
        write_checkpoint(path, make_checkpoint())
        _WHOLE.append(path.read_bytes())
    return _WHOLE[0]


_WHOLE: list[bytes] = []


def _scratch(name: str) -> Path:
    folder = Path(os.environ["CHARLM_CACHE"])
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def assert_refused(content: bytes) -> None:
    path = _scratch("refused")
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pickles_are_refused_and_never_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (os.mkdir, (str(tmp_path / "exploded"),))

    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError, match="not a charlm checkpoint"):
        read_checkpoint(path)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (1, "written in format {}, and this charlm reads format {}; upgrade charlm-rnn$"),
        (-1, "written in format {}, and this charlm reads format {}; use the older charlm$"),
    ],
    ids=["newer", "older"],
)
def test_other_format_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: int, says: str
) -> None:
    """Another checkpoint of the run has the same format, so none is suggested."""
    says = says.format(FORMAT_VERSION + change, FORMAT_VERSION)
    for kind in ("last", "best"):
        monkeypatch.setattr(checkpoint_module, "FORMAT_VERSION", FORMAT_VERSION + change)
        path = tmp_path / "run" / "checkpoints" / f"{kind}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_checkpoint(path, make_checkpoint())
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=says) as caught:
        read_checkpoint(path)
    assert "another checkpoint" not in str(caught.value)
    with pytest.raises(CheckpointError, match=says) as caught:
        resume(tmp_path / "run")
    assert "start_from" not in str(caught.value)


def test_unknown_config_value_is_named(tmp_path: Path) -> None:
    checkpoint = make_checkpoint()
    model = checkpoint.config.model.model_copy(update={"cell": "transformer"})
    config = checkpoint.config.model_copy(update={"model": model})
    write_checkpoint(tmp_path / "odd", Checkpoint(config, checkpoint.vocabulary, "", {}))
    with pytest.raises(CheckpointError, match=r"model\.cell"):
        read_checkpoint(tmp_path / "odd")


def test_wrong_weights_are_refused(tmp_path: Path) -> None:
    checkpoint = make_checkpoint()
    weights = {**checkpoint.weights, "b_q": torch.zeros(99)}
    write_checkpoint(
        tmp_path / "odd", Checkpoint(checkpoint.config, checkpoint.vocabulary, "", weights)
    )
    with pytest.raises(CheckpointError, match="b_q"):
        read_checkpoint(tmp_path / "odd").make_model()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere"):
        read_checkpoint(tmp_path / "nowhere")


@pytest.mark.parametrize("moment", ["write", "fsync", "replace"])
def test_crash_keeps_previous_checkpoint(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """A crash while a checkpoint is written leaves the previous one whole."""
    path = tmp_path / "last.safetensors"
    path.write_bytes(written.read_bytes())

    def crash(*arguments: Any, **options: Any) -> Any:
        raise OSError(28, "No space left on device")

    if moment == "write":
        monkeypatch.setattr(Path, "open", crash)
    elif moment == "fsync":
        monkeypatch.setattr(os, "fsync", crash)
    else:
        monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(CheckpointError, match="No space left"):
        write_checkpoint(path, make_checkpoint((1, 2, 3, 4)))
    monkeypatch.undo()
    assert path.read_bytes() == written.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_no_pickle_is_imported_by_reading(written: Path) -> None:
    """The header is JSON and the rest numbers: nothing in the file names code."""
    data = written.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    assert set(header["__metadata__"]) == {"charlm"}
    source = Path(sys.modules["charlm.runs.checkpoint"].__file__ or "").read_text("utf-8")
    assert "pickle" not in source.replace("no pickle", "")
    assert " torch.load" not in source


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_killed_while_saving(tmp_path: Path) -> None:
    """`kill -9` at many moments of a process that does little but save."""
    path = tmp_path / "last.safetensors"
    for saves in (2, 5, 9, 20, 50):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                for number in range(1, 100_000):
                    symbols = (number, number + 1, number + 2, number + 3)
                    write_checkpoint(path, make_checkpoint(symbols))
                    os.write(writing, b".")
            finally:
                os._exit(1)
        os.close(writing)
        with os.fdopen(reading, "rb") as saved:
            assert len(saved.read(saves)) == saves
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        assert read_checkpoint(path).vocabulary.symbols[0] >= saves
