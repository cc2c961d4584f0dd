"""Runs on a GPU: training, resuming, checkpoints that move, scores, texts and the benchmark."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.texts import TEXT
from support.training import TINY, PowerLossError, crash_at, lines, losses, train, weights
from typer.testing import CliRunner

import charlm
from charlm.cli.main import app
from charlm.prediction.evaluation import evaluate_dynamically
from charlm.prediction.generation import generate_samples
from charlm.runs.folder import RunFolder

pytestmark = pytest.mark.cuda

CELLS = ["rnn", "gru", "lstm", "mogrifier"]
STEPS = "training.steps=12"


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def on_device(device: torch.device) -> str:
    return f"training.device={device.type}"


@pytest.fixture(scope="module")
def run(text: Path, tmp_path_factory: pytest.TempPathFactory, device: torch.device) -> RunFolder:
    """A run of 60 steps on the device."""
    runs = tmp_path_factory.mktemp("runs")
    return train(text, runs, f"training.device={device.type}", "training.steps=60")


@pytest.mark.parametrize("cell", CELLS)
def test_cuda_trains_as_the_cpu(text: Path, tmp_path: Path, on_device: str, cell: str) -> None:
    """The losses of the first steps are those of a run on the CPU."""
    settings = (f"model.cell={cell}", STEPS, "model.dropout=0.1", "training.average=0.9")
    found = train(text, tmp_path / "gpu", on_device, *settings)
    expected = train(text, tmp_path / "cpu", "training.device=cpu", *settings)
    assert losses(found) == pytest.approx(losses(expected), rel=1e-3)


@pytest.mark.parametrize("cell", CELLS)
def test_cuda_resumes(text: Path, tmp_path: Path, on_device: str, cell: str) -> None:
    """A resumed run takes the steps of an uninterrupted one, also where it moves to the CPU."""
    settings = (
        on_device,
        STEPS,
        f"model.cell={cell}",
        "model.dropout=0.1",
        "training.save_every=6",
    )
    whole = train(text, tmp_path / "whole", *settings)
    for number, other in enumerate((on_device, "training.device=cpu")):
        runs = tmp_path / str(number)
        with pytest.raises(PowerLossError):
            train(text, runs, *settings, on_event=crash_at(9))
        (folder,) = runs.iterdir()
        charlm.resume(folder, settings=[other])
        resumed = RunFolder(folder)
        assert losses(resumed) == pytest.approx(losses(whole), rel=1e-3)
        expected = weights(whole.last)
        for name, tensor in weights(resumed.last).items():
            torch.testing.assert_close(tensor, expected[name], rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("cell", CELLS)
def test_cuda_deterministic_runs_are_equal(
    text: Path, tmp_path: Path, on_device: str, cell: str
) -> None:
    """With `training.deterministic`, two runs are the same, bit for bit."""
    settings = (on_device, STEPS, f"model.cell={cell}", "training.deterministic=true")
    one, other = (train(text, tmp_path / name, *settings) for name in ("one", "other"))
    assert lines(one) == lines(other)
    assert all(torch.equal(t, weights(other.last)[n]) for n, t in weights(one.last).items())


def test_cuda_is_recorded(run: RunFolder, device: torch.device) -> None:
    """The run names the device that it was trained on, and the engine of its cells."""
    (start,) = json.loads(run.environment.read_text("utf-8"))
    if device.type == "cpu":
        assert start["device"] == "cpu"
    else:
        assert start["device"] == torch.cuda.get_device_name()
        assert start["kernels"] == "PyTorch's kernels"


def test_cuda_score_and_text(run: RunFolder, device: torch.device) -> None:
    """A checkpoint has one score and one text on both, exact in double precision."""
    results: list[tuple[Any, ...]] = []
    for name in (device.type, "cpu"):
        predictor = charlm.load(run.path, device=name)
        predictor.model.double()
        one = charlm.generate_text(predictor, "The rain", seed=3, length=80, temperature=0.8)
        greedy = charlm.generate_text(predictor, "The rain", greedy=True, length=80)
        many = generate_samples(predictor, b"The", num_samples=3, seed=3, length=30, top_p=0.9)
        results.append((charlm.evaluate(predictor).nats, one, greedy, many))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-6)
    assert results[0][1:] == results[1][1:]


def test_cuda_writes_without_a_prefix(run: RunFolder, device: torch.device) -> None:
    """In float32, as people use it, a model writes from its stored openings."""
    predictor = charlm.load(run.path, device=device.type)
    assert len(charlm.generate_text(predictor, seed=0, length=50)) == 50


def test_cuda_evaluates_dynamically(run: RunFolder, device: torch.device) -> None:
    """The score of a model that learns while it reads is that of the CPU."""
    nats = [
        evaluate_dynamically(charlm.load(run.path, device=name)).score.nats
        for name in (device.type, "cpu")
    ]
    assert nats[0] == pytest.approx(nats[1], rel=1e-3)


def test_cuda_mixture(text: Path, tmp_path: Path, device: torch.device, on_device: str) -> None:
    """A mixture of two networks and counts trains, scores as on the CPU, and generates."""
    mixture = ("ensemble.members=2", "ensemble.ngram_order=4", STEPS)
    trained = train(text, tmp_path, on_device, *mixture)
    scores = []
    for name in (device.type, "cpu"):
        predictor = charlm.load(trained.path, device=name)
        scores.append(charlm.evaluate(predictor).nats)
        assert len(charlm.generate_text(predictor, "The", seed=0, length=20)) == 20
    assert scores[0] == pytest.approx(scores[1], rel=1e-3)


def test_cuda_student(run: RunFolder, text: Path, tmp_path: Path, on_device: str) -> None:
    """A network learns from a teacher on the device."""
    student = train(text, tmp_path, on_device, STEPS, f"training.teachers=[{run.path}]")
    assert np.isfinite(losses(student)).all()


def test_cuda_commands(text: Path, tmp_path: Path, device: torch.device) -> None:
    """`train`, `eval --dynamic` and `generate` take the device; `train` says what computes."""
    here, on_device = f"--device={device.type}", f"training.device={device.type}"
    settings = [f"--set={setting}" for setting in (*TINY, STEPS, on_device)]

    def command(*arguments: object) -> str:
        result = CliRunner().invoke(app, list(map(str, arguments)))
        assert result.exit_code == 0, result.output
        return str(result.output)

    shown = command(*("train", "quickstart", text, "--runs", tmp_path, "--name", "run", *settings))
    assert device.type in shown.lower()
    assert "perplexity" in command("eval", tmp_path / "run", here)
    assert "perplexity" in command("eval", tmp_path / "run", here, "--dynamic")
    assert command("generate", tmp_path / "run", here, "--length", 30, "--prefix", "The")


def test_cuda_bench_waits(text: Path, device: torch.device) -> None:
    """Rates are of finished work: training is not faster than the products that it consists of."""
    small = ["--set=model.hidden_size=256", "--seconds=0.1", f"--text={text}"]
    arguments = ["bench", "--no-cells", "--json", f"--set=training.device={device.type}", *small]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert all(rate > 0 for rate in found["rates"].values())
    assert 0 < found["ratios"]["config: training, share of large products"] <= 1
    assert found["ratios"]["config: training, times the plain loop"] > 0
