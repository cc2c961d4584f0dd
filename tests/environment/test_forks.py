"""A process that is forked after a model has computed computes, too, and the same."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from support.processes import exit_code_of_child
from support.training import train

from charlm.config.schema import ModelConfig
from charlm.kernels import loading
from charlm.models.language_model import LanguageModel
from charlm.prediction.scoring import total_nats
from charlm.training import calibration

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def learn_and_score(model: LanguageModel) -> list[float]:
    """Compute with both threads: kernels, products and element by element."""
    ids = np.random.default_rng(0).integers(0, 60, 2_000)
    inputs = torch.from_numpy(ids).view(50, 40)
    state = model.initial_state(40)
    loss, _ = model.train().loss(inputs[:-1], inputs[1:], state)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    large = torch.ones(400, 400) @ torch.ones(400, 400)
    scores = [total_nats(model, ids.astype(np.uint8), rows) for rows in (1, 4)]
    return [loss.item(), *(g.norm().item() for g in gradients), large.exp().sum().item(), *scores]


@pytest.mark.parametrize("kernels", ["compiled", "PyTorch's"])
def test_fork_computes_what_its_parent_does(kernels: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forked process computes the same as its parent, and so does a fork of a fork."""
    if kernels != "compiled":
        monkeypatch.setattr(loading, "library", lambda: None)
    model = LanguageModel(ModelConfig(hidden_size=48, embedding_size=16), 60)
    model.initialize(torch.Generator().manual_seed(0))
    expected = learn_and_score(model)

    def same() -> bool:
        return learn_and_score(model) == pytest.approx(expected, rel=1e-5)

    assert exit_code_of_child(same) == 0
    assert exit_code_of_child(lambda: exit_code_of_child(same) == 0) == 0, "a fork of a fork"
    assert torch.get_num_threads() == 2, "the parent is as it was"


@pytest.mark.parametrize("threads", ["2", "auto"])
def test_fork_trains_with_any_threads(
    threads: str, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forked process trains with one thread, however many its config asks for."""
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(calibration, "_ALL", 2)
    settings = ["training.steps=2", f"training.threads={threads}", "model.hidden_size=64"]
    train(text_file, tmp_path, *settings, name="parent")

    def trains() -> bool:
        run = train(text_file, tmp_path, *settings, name="child")
        return run.last.exists() and torch.get_num_threads() == 1

    assert exit_code_of_child(trains) == 0
