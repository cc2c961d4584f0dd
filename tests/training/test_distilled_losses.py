"""The two losses with teachers: on the text, and of the distillation."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from support.commands import SMALL, train
from support.distillation import SIZE, network

import charlm
from charlm.cli import finished as summary
from charlm.config.schema import BatchesConfig, TrainingConfig
from charlm.corpus.batches import make_batches
from charlm.kernels.loading import Precision
from charlm.models.dropout import Masks
from charlm.models.language_model import LanguageModel
from charlm.training.distillation import Teacher
from charlm.training.events import Event, Finished, Stepped
from charlm.training.trainer import Trainer


def confident(seed: int) -> LanguageModel:
    """Return a network whose predictions are far from uniform."""
    model = network(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model


@pytest.mark.parametrize(
    ("groups", "share", "precision", "rounding"),
    [(1, 0.5, "float32", 1e-5), (3, 1.0, "float32", 1e-5), (3, 0.5, "bfloat16", 3e-3)],
)
def test_each_loss_is_what_its_name_says(
    groups: int, share: float, precision: Precision, rounding: float
) -> None:
    """One is the cross-entropy of the text, the other that of the targets, by the same weights."""
    ids = np.random.default_rng(0).integers(SIZE, size=400)
    batches = make_batches(ids, BatchesConfig(batch_size=4, sequence_length=10), seed=0)
    config = TrainingConfig(steps=5, learning_rate=0.05, accumulate=groups, seed=3)
    student = confident(0)
    student.precision = precision
    trainer = Trainer(student, batches, config, float, teacher=Teacher([confident(7)], share))
    targets = Teacher([confident(7)], share)
    state, differences = student.initial_state(4), []
    for _ in range(5):
        batch = next(batches)
        with torch.no_grad():
            logits, state = student(batch.inputs, state, Masks([3, trainer.step], 4))
        logs = logits.log_softmax(2)
        loss = -logs.gather(2, batch.targets.unsqueeze(2)).mean().item()
        distillation_loss = -(targets.targets(batch) * logs).sum(2).mean().item()
        step = trainer.take_step(batch, 0.0)
        assert step.loss == pytest.approx(loss, rel=rounding)
        assert step.distillation_loss == pytest.approx(distillation_loss, rel=rounding)
        differences.append(abs(loss - distillation_loss))
    assert max(differences) > 0.02


def test_step_without_teachers_has_one_loss() -> None:
    ids = np.random.default_rng(0).integers(SIZE, size=400)
    batches = make_batches(ids, BatchesConfig(batch_size=4, sequence_length=10), seed=0)
    step = next(iter(Trainer(network(0), batches, TrainingConfig(steps=1), float)))
    assert step.loss > 0
    assert step.distillation_loss is None


def test_distilled_run_logs_both_losses(text_file: Path, tmp_path: Path) -> None:
    """The perplexity is of the text, also where a poor teacher raises the distillation loss."""
    teacher = train(text_file, tmp_path, "--name", "teacher", steps=1)
    steps: list[Stepped] = []

    def note(event: Event) -> None:
        if isinstance(event, Stepped):
            steps.append(event)

    settings = [setting.removeprefix("--set=") for setting in SMALL]
    settings += [f"training.teachers={teacher}", "training.teacher_share=0.9", "training.epochs=2"]
    settings += ["training.learning_rate=0.05", "training.warmup_steps=0", "training.log_every=7"]
    finished = charlm.train(
        "quickstart", text=text_file, runs=tmp_path, settings=settings, on_event=note
    )
    assert isinstance(finished, Finished)

    log = (finished.folder.path / "metrics.jsonl").read_text().splitlines()
    lines = [line for line in map(json.loads, log) if "loss" in line]
    assert all({"loss", "distillation_loss"} <= set(line) for line in lines)
    last = [step.step for step in steps[-len(steps) // 2 :]]
    mean = sum(one.loss * one.characters for one in last) / sum(one.characters for one in last)
    assert finished.training_loss == pytest.approx(mean)
    assert lines[-1]["epoch_loss"] == pytest.approx(mean)
    distillation_losses = [one.distillation_loss for one in last]
    assert None not in distillation_losses
    assert min(loss for loss in distillation_losses if loss is not None) > mean + 0.4
    assert (
        f"{math.exp(mean):.3f}"
        in dict(summary._summary(finished, "character"))["training perplexity"]
    )
