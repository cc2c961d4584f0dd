"""Training as in 6.3 and 6.4: both samplings, clipping, and the presets on lyrics.

The chapters are named in support/textbook.py, and their sections cited by number.
"""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from charlm.config.load import load_config
from charlm.corpus.batch_iterator import Batch
from charlm.corpus.batches import Batches, RandomBatches, SequentialBatches, make_batches
from charlm.corpus.builder import build_corpus
from charlm.models.language_model import LanguageModel
from charlm.prediction.perplexity import perplexity
from charlm.training.optimizer import clip_gradients
from charlm.training.step_result import StepResult
from charlm.training.trainer import Trainer

# 12. 6.3: random and sequential sampling


def one_epoch(batches: Batches) -> list[Batch]:
    epoch = []
    while batches.position.epoch == 0:
        epoch.append(next(batches))
    return epoch


def test_6_3_random_sampling_covers_text() -> None:
    """Random sampling yields each window of the text once an epoch."""
    epoch = one_epoch(RandomBatches(np.arange(30), batch_size=2, sequence_length=6, seed=0))
    for batch in epoch:
        assert not batch.continues
        assert torch.equal(batch.inputs, batch.inputs[0] + torch.arange(6).unsqueeze(1))
        assert torch.equal(batch.targets, batch.inputs + 1)
    starts = sorted(start for batch in epoch for start in batch.inputs[0].tolist())
    assert starts[0] < 6  # the random offset
    assert all(later - earlier == 6 for earlier, later in pairwise(starts))
    assert starts[-1] + 12 >= 30  # no room for one window more, and its last label


def test_6_3_random_sampling_shuffles() -> None:
    orders = []
    for seed in range(10):
        epoch = one_epoch(RandomBatches(np.arange(30), batch_size=1, sequence_length=6, seed=seed))
        orders.append([int(batch.inputs[0, 0]) for batch in epoch])
    assert any(order != sorted(order) for order in orders)


@pytest.mark.parametrize("kind", [RandomBatches, SequentialBatches])
def test_6_3_without_a_random_offset(kind: Any) -> None:
    """Without a random offset each epoch has the same examples."""
    batches = kind(np.arange(30), 2, 6, seed=0, random_offset=False)
    epochs = []
    for number in range(3):
        starts: list[int] = []
        while batches.position.epoch == number:
            starts += next(batches).inputs[0].tolist()
        epochs.append(starts)
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(epochs[2])
    assert min(epochs[0]) == 0
    if kind is RandomBatches:
        assert epochs[0] != epochs[1]


def test_6_3_sequential_sampling_is_adjacent() -> None:
    """Adjacent batches of sequential sampling are adjacent in the text."""
    epoch = one_epoch(SequentialBatches(np.arange(30), batch_size=2, sequence_length=6, seed=0))
    assert [batch.continues for batch in epoch] == [False] + [True] * (len(epoch) - 1)
    assert len(epoch) > 1
    for batch in epoch:
        assert torch.equal(batch.targets, batch.inputs + 1)
    for earlier, later in pairwise(epoch):
        assert torch.equal(later.inputs[0], earlier.inputs[-1] + 1)
    left, right = torch.cat([batch.inputs for batch in epoch]).T.tolist()
    assert right[0] == left[-1] + 1  # the second column continues where the first one ends


# 12. 6.4: clipping


@settings(deadline=None)
@given(
    theta=st.floats(1e-3, 1e3),
    gradients=st.lists(st.floats(-100, 100, width=32), min_size=5, max_size=5).filter(any),
)
def test_6_4_gradient_clipping(theta: float, gradients: list[float]) -> None:
    """Clipping replaces g by min(θ / ‖g‖, 1) g."""
    g = torch.tensor(gradients, dtype=torch.float64)
    parameters = []
    for part in (g[:2], g[2:]):
        parameters.append(nn.Parameter(torch.zeros_like(part)))
        parameters[-1].grad = part.clone()
    norm = clip_gradients(parameters, theta)
    torch.testing.assert_close(norm, g.norm())
    clipped = torch.cat([parameter.grad for parameter in parameters if parameter.grad is not None])
    torch.testing.assert_close(clipped, min(theta / g.norm().item(), 1) * g)


# 12. 6.4: training on lyrics; test_textbook_loop.py compares the book's loop with the trainer

textbook_configs = pytest.mark.parametrize("sampling", ["random", "sequential"])


@textbook_configs
def test_6_4_hyperparameters_of_the_presets(sampling: str) -> None:
    """The presets have the hyperparameters of the book."""
    config = load_config(f"textbook-{sampling}")
    assert config.batches.sampling == sampling
    assert (config.batches.batch_size, config.batches.sequence_length) == (32, 35)
    assert (config.model.cell, config.model.nonlinearity) == ("rnn", "tanh")
    assert (config.model.hidden_size, config.model.num_layers) == (256, 1)
    assert config.model.embedding_size is None  # one-hot
    assert config.model.initialization == "normal"
    assert config.model.dropout == 0
    training = config.training
    assert (training.optimizer, training.learning_rate, training.momentum) == ("sgd", 100, 0)
    assert (training.schedule, training.warmup_steps, training.weight_decay) == ("constant", 0, 0)
    assert (training.epochs, training.steps, training.budget) == (250, None, None)
    assert training.max_gradient_norm == 0.01
    assert config.corpus.max_characters == 10_000
    assert config.corpus.newlines == "space"
    assert config.generation.prefix == "分开"
    assert config.generation.length == 50
    assert config.generation.greedy


@textbook_configs
def test_6_4_training_lowers_perplexity(sampling: str) -> None:
    """Each epoch lowers the training perplexity."""
    config = load_config(f"textbook-{sampling}", ["training.epochs=4"])
    corpus = build_corpus(config.corpus)
    vocabulary_size = len(corpus.vocabulary)
    model = LanguageModel(config.model, vocabulary_size)
    model.initialize(torch.Generator().manual_seed(config.training.seed))
    batches = make_batches(corpus.splits["train"].ids, config.batches, config.training.seed)
    reports = list(Trainer(model, batches, config.training, clock=lambda: 0.0))
    perplexities = [epoch_perplexity(reports, epoch) for epoch in (1, 2, 3, 4)]
    assert len(corpus.splits["train"]) == 10_000
    assert math.exp(reports[0].loss) == pytest.approx(vocabulary_size, rel=0.05)
    assert all(later < earlier for earlier, later in pairwise(perplexities))
    assert perplexities[-1] < vocabulary_size / 2


def epoch_perplexity(reports: list[StepResult], epoch: int) -> float:
    """exp of the mean cross-entropy over the steps of an epoch; the first is 1."""
    steps = [report for report in reports if epoch - 1 < report.epoch <= epoch]
    nats = sum(report.loss * report.characters for report in steps)
    return perplexity(nats / sum(report.characters for report in steps))
