"""Frequencies of the characters, which are the first predictions of a network."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.training import lines, losses, train

from charlm.config.schema import ModelConfig
from charlm.corpus.frequencies import estimate_frequencies
from charlm.models.language_model import LanguageModel
from charlm.runs.checkpoint import read_checkpoint
from charlm.runs.folder import RunFolder

TEXT = "aaaaaaaaab" * 300


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_frequencies_are_those_of_the_text(size: int) -> None:
    """No frequency is zero; those of a long text are estimated from a part of it."""
    ids = np.tile(np.array([1, 1, 2, 1, 2, 1, 1, 1, 1, 1], np.uint8), size // 10)
    frequencies = estimate_frequencies(ids, 4)
    assert float(frequencies.sum()) == pytest.approx(1)
    assert (frequencies > 0).all()
    if size > 10:
        assert frequencies[1:3].tolist() == pytest.approx([0.8, 0.2], abs=1e-3)
    else:
        assert frequencies.tolist() == pytest.approx([1 / 14, 9 / 14, 3 / 14, 1 / 14])


def test_large_text_is_read_in_part() -> None:
    class Large:
        read = 0

        def __len__(self) -> int:
            return 2 * 10**9

        def __getitem__(self, place: slice) -> np.ndarray:
            self.read += place.stop - place.start
            return np.ones(place.stop - place.start, np.uint8)

    large = Large()
    estimate: Any = estimate_frequencies.__wrapped__  # type: ignore[attr-defined]
    estimate(large, 3)
    assert 0 < large.read < 2_000_000


@pytest.mark.parametrize("initialization", ["uniform", "orthogonal", "normal"])
def test_first_predictions_are_frequencies(initialization: Any) -> None:
    """`normal`, the book's initialization, starts with biases of zero instead."""
    model = LanguageModel(ModelConfig(hidden_size=8, initialization=initialization), 4)
    frequencies = torch.tensor([0.1, 0.2, 0.3, 0.4])
    model.initialize(torch.Generator().manual_seed(0), frequencies)
    expected = torch.zeros(4) if initialization == "normal" else frequencies.log()
    assert torch.equal(model.b_q, expected)


def test_first_loss_is_near_the_entropy(tmp_path: Path) -> None:
    """The first loss is near the entropy of the characters' frequencies."""
    (tmp_path / "text").write_text(TEXT)
    run = train(tmp_path / "text", tmp_path, "training.steps=1", "training.learning_rate=1e-6")
    entropy = -0.9 * math.log(0.9) - 0.1 * math.log(0.1)
    assert losses(run)[0] == pytest.approx(entropy, abs=0.25)  # 1.1 from biases of zero
    assert lines(RunFolder(run.path))
    assert read_checkpoint(run.last).weights["b_q"].argmax() == 1
