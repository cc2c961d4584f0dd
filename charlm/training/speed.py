"""Measure how fast a network would train on this machine, before its size is chosen."""

import math
from time import perf_counter

import torch

from charlm.config.schema import Config
from charlm.kernels.loading import Precision
from charlm.models.device import choose_device, wait_for
from charlm.models.language_model import LanguageModel
from charlm.training.auto_rules import embedding_of
from charlm.training.optimizer import make_optimizer


def measured_speed(
    config: Config, precision: Precision, vocabulary_size: int, hidden_size: int
) -> float:
    """Measure the characters per second that a model of this size trains on, in a few steps.

    Dropout is left out, because it takes little time.
    """
    embedding_size = embedding_of(hidden_size, config.model.tie_weights)
    sizes = {"hidden_size": hidden_size, "embedding_size": embedding_size}
    no_dropout = {"dropout": 0.0, "embedding_dropout": 0.0}
    model = LanguageModel(config.model.replace(**sizes, **no_dropout), vocabulary_size)
    model.initialize(torch.Generator().manual_seed(0))
    model.to(choose_device(config.training.device))
    model.precision = precision
    optimizer = make_optimizer(model, config.training)
    batch_size, shortest = config.batches.batch_size, math.inf
    shape = (config.batches.sequence_length + 1, batch_size)
    ids = torch.randint(vocabulary_size, shape, generator=torch.Generator().manual_seed(0))
    ids = ids.to(model.device)
    for _ in range(4):
        start = perf_counter()
        loss, _ = model.loss(ids[:-1], ids[1:], model.initial_state(batch_size))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        wait_for(model.device)
        shortest = min(shortest, perf_counter() - start)
    return ids[1:].numel() / shortest
