"""The slices of a batch: how many characters it generates before others have their turn."""

from types import SimpleNamespace

import pytest
import torch
from support.generation import make_predictor
from torch import Tensor

from charlm.server import batch as batch_module
from charlm.server.batch import Batch, Member, Sampling
from charlm.server.choice import Choice

SLICE_SECONDS = 0.02
STEP_SECONDS = 1e-4
"""Processor time of a character."""


class TimedChoice(Choice):
    """A choice that counts the characters of each slice, and the processor time that they take."""

    used = 0.0

    def uniforms(self, steps: int) -> Tensor:
        self.size = steps
        self.used += steps * STEP_SECONDS
        return super().uniforms(steps)


@pytest.mark.parametrize(
    ("share", "seconds"), [(1.0, 0.02), (0.5, 0.01), (0.25, 0.005), (0.05, 0.005), (0.01, 0.005)]
)
def test_a_slice_computes_for_a_quarter(
    monkeypatch: pytest.MonkeyPatch, share: float, seconds: float
) -> None:
    """A slice computes for a quarter of its time, however small its share of a core is."""
    predictor = make_predictor()
    choice = TimedChoice(predictor, 100_000, torch.Generator())
    clocks = SimpleNamespace(
        perf_counter=lambda: choice.used / share, thread_time=lambda: choice.used
    )
    monkeypatch.setattr(batch_module, "time", clocks)
    batch = Batch(Sampling(predictor.model, predictor.config.generation, None, None))
    logits = torch.zeros(1, predictor.model.vocabulary_size)
    state = predictor.model.initial_state(1)
    batch.join(Member(choice, lambda: True, logits, state))
    for _ in range(20):
        batch.advance(SLICE_SECONDS)
    assert choice.size == pytest.approx(seconds / STEP_SECONDS, abs=1)
