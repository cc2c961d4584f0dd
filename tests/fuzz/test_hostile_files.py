"""Single hostile files: huge, forged, overflowing, or in the wrong place."""

import json
import math
import os
import re
import struct
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from forgeries import whole_checkpoint, with_size
from law import lawful
from typer.testing import CliRunner

from charlm.cli.main import app
from charlm.config.load import load_config
from charlm.config.schema import Config, CorpusConfig, ModelConfig
from charlm.corpus.builder import build_corpus
from charlm.errors import CharlmError, CheckpointError, DivergenceError, RunError, file_errors
from charlm.kernels import compiler
from charlm.prediction import generation, predictor
from charlm.runs.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from charlm.runs.creation import create_run_folder

MEMORY = 64 << 20
"""Bytes that Python may take to refuse a small hostile input."""
SPARSE = 1 << 40
"""Bytes of a file that takes no room on the disk."""


def peak_of(action: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def of_size(path: Path, beginning: bytes) -> Path:
    path.write_bytes(beginning)
    try:
        os.truncate(path, SPARSE)
    except OSError as reason:
        pytest.skip(f"this file system has no files of {SPARSE} bytes ({reason})")
    return path


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_mixture_not_finite_is_refused(number: float, tmp_path: Path) -> None:
    """A checkpoint whose mixture weights are not finite is refused."""
    whole = whole_checkpoint(tmp_path, True)
    weights = {**whole.weights, "mixture": torch.full_like(whole.weights["mixture"], number)}
    with pytest.raises(CheckpointError, match="mixture should hold finite numbers"):
        replace(whole, weights=weights).make_model()


@pytest.mark.parametrize("beginning", ["nothing", "a checkpoint", "a header that says so"])
def test_huge_non_checkpoint_is_not_read(beginning: str, tmp_path: Path) -> None:
    """A huge file that is not a checkpoint is refused without being read whole."""
    whole_checkpoint(tmp_path, False)
    data = (tmp_path / "whole").read_bytes() if beginning != "nothing" else b""
    if beginning == "a header that says so":
        header = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])
        header["b_q"] = {"dtype": "F32", "shape": [1 << 38], "data_offsets": [0, SPARSE]}
        data = with_size(json.dumps(header).encode())
        header["b_q"]["data_offsets"][1] -= len(data)
        data = with_size(json.dumps(header).encode())
    path = of_size(tmp_path / "huge.safetensors", data)
    words = "not enough memory" if "header" in beginning else "not a charlm checkpoint"

    def refuse() -> None:
        with pytest.raises(CheckpointError, match=f"huge.*{words}"):
            read_checkpoint(path)

    assert peak_of(refuse) < MEMORY


def test_a_config_and_a_prefix_have_a_size(tmp_path: Path) -> None:
    config, prefix = (of_size(tmp_path / name, b"") for name in ("huge.yaml", "huge.txt"))

    def refuse() -> None:
        with pytest.raises(CharlmError, match=r"huge\.yaml.*larger than 1 MB"):
            load_config(config)
        result = CliRunner().invoke(app, ["generate", "--prefix-file", str(prefix)])
        assert result.exit_code == 1
        assert re.fullmatch(r"charlm: .*huge\.txt.*larger than 16 MB.*\n", result.stderr)

    assert peak_of(refuse) < MEMORY


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such file")
def test_a_pipe_is_no_checkpoint(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="not a charlm checkpoint"):
        read_checkpoint(tmp_path / "pipe")


def test_a_lack_of_memory_is_one_line() -> None:
    line = r"^a file: could not be read \(not enough memory\); wait$"
    with pytest.raises(RunError, match=line), file_errors("be read", "a file", "wait"):
        raise MemoryError


def test_claimed_weights_take_no_memory(
    tmp_path: Path,
) -> None:
    """A config that claims more weights than the file holds is refused and takes no memory."""
    whole = whole_checkpoint(tmp_path, False)
    config = whole.config.model_copy(
        update={"model": ModelConfig(hidden_size=2**24 - 1, num_layers=100)}
    )
    greedy = Checkpoint(config, whole.vocabulary, "0", whole.weights)
    with pytest.raises(CheckpointError, match="do not match"):
        greedy.make_model()


@pytest.mark.parametrize("top_p", [1.0, 0.5])
def test_overflowing_weights_give_an_error(top_p: float, tmp_path: Path) -> None:
    """Weights that overflow give an error about it, in the kernels and in the equations.

    Where they close every gate, both give the same text: biases alone are a distribution.
    """
    compiler.library()  # what is built once is no part of an input's time
    whole = whole_checkpoint(tmp_path, False)
    weights = {name: torch.full_like(tensor, 3e38) for name, tensor in whole.weights.items()}
    path = tmp_path / "overflow"

    def text(implementation: str) -> str:
        config = whole.config.replace(model={"implementation": implementation})
        write_checkpoint(path, Checkpoint(config, whole.vocabulary, "0", weights))
        loaded = predictor.load(path, device="cpu")
        return "".join(generation.generate(loaded, length=50, seed=0, top_k=2, top_p=top_p))

    for implementation in ("fused", "equations"):
        with pytest.raises(DivergenceError, match="output is not finite"):
            text(implementation)
    weights["embedding"].fill_(-3e38)
    weights["b_q"] = torch.arange(len(weights["b_q"])).float()  # without ties
    assert len(text("fused")) == 50
    assert text("fused") == text("equations")


def test_many_mistakes_take_one_short_line(tmp_path: Path) -> None:
    """Thousands of mistakes in a config give one line of bounded length in little time."""
    path = tmp_path / "many.yaml"
    path.write_text("training:\n" + "".join(f"  key{n}: 1\n" for n in range(20_000)))
    assert not lawful(lambda: load_config(path))


@pytest.mark.parametrize("link", ["metrics.jsonl", "config.partial", "checkpoints/x.partial"])
def test_run_writes_through_no_link(link: str, tmp_path: Path) -> None:
    """A run does not write through a symbolic link in its folder."""
    run = create_run_folder(tmp_path / "runs", "run", "stem", Config())
    (tmp_path / "mine").write_text("mine")
    (run.path / link).symlink_to(tmp_path / "mine")
    with pytest.raises(RunError, match="symbolic link"), run.locked():
        raise AssertionError("it was opened")
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize("name", ["..", "", "a/b", "../x", "/x", "a\0b", "\ud800"])
def test_a_run_stays_in_its_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="name"):
        create_run_folder(tmp_path / "runs", name, "stem", Config())
    assert {path.name for path in tmp_path.rglob("*")} <= {"runs"}


@pytest.mark.parametrize("name", ["\0/*", "\ud800/*", "a\0*"])
def test_impossible_pattern_is_an_error(name: str, tmp_path: Path) -> None:
    """A pattern that no file name can match gives an error, not a crash."""
    with pytest.raises(CharlmError, match="no such file"):
        build_corpus(CorpusConfig(paths=(str(tmp_path / name),)))
