"""A config for a text: by its size and alphabet, the time that there is, and this machine's speed.

These are rules, not a search: all the time is spent on the model that is kept. What they rest on is
measured in the README, with where they were tried.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from time import perf_counter
from typing import Literal

import torch

from charlm.calibration import can_compile
from charlm.config import BatchesConfig, Config, EnsembleConfig, ModelConfig
from charlm.model import LanguageModel, choose_device
from charlm.optimization import make_optimizer

_SIZES = (64, 96, 128, 192, 256, 384, 512, 768, 1024)
_CHARACTERS_A_WEIGHT = 5
"""Characters to learn from that each weight needs, repetitions included."""
_WEIGHTS_AT_A_MILLION, _GROWTH = 2e6, 0.6
"""Recurrent weights that a million characters can use, and the power at which that grows."""
_MOST_EPOCHS = 60.0
_SEVERAL_EPOCHS = 20.0
"""Epochs that one network would have, from which on two and their student are better."""
_BATCH_SIZE, _SEQUENCE_LENGTH = 32, 64
_EMBEDDING_DROPOUT = 0.4
"""That of the characters' vectors, as a share of the other."""
_NGRAM_ORDER = 7
_VALIDATIONS = 30


@dataclass(frozen=True)
class Advice:
    """What to train, and why."""

    config: Config
    reasons: tuple[str, ...]
    """A line for each choice."""


def advise(
    config: Config, characters: int, vocabulary_size: int, *, keep_ensemble: bool = False
) -> Advice:
    """Return a config for a training part of so many characters, within `training.budget`.

    Members of an ensemble share the time. With `keep_ensemble`, which there are is not chosen.
    Corpus, seed, device and what else does not decide how well it learns stay as they are.
    """
    budget = config.training.budget or 600.0
    cell: Literal["mogrifier", "lstm"] = "mogrifier" if can_compile(config) else "lstm"
    speed = cache(partial(measured_speed, config, cell, vocabulary_size))
    ensemble = config.ensemble
    if not keep_ensemble:
        alone = choose_size(characters, budget, speed)[1]
        ensemble = choose_ensemble(budget * alone / characters)
    seconds = budget * ensemble.share(0)
    hidden_size, rate, limit = choose_size(characters, seconds, speed)
    epochs = min(_MOST_EPOCHS, seconds * rate / characters)
    dropout = choose_dropout(epochs)
    model = ModelConfig(
        cell=cell,
        hidden_size=hidden_size,
        embedding_size=embedding_of(hidden_size),
        dropout=dropout,
        embedding_dropout=round(_EMBEDDING_DROPOUT * dropout, 2),
    )
    batches = BatchesConfig(
        batch_size=_BATCH_SIZE, sequence_length=_SEQUENCE_LENGTH, reset_probability=0.02
    )
    every = max(20, round(epochs * characters / (_BATCH_SIZE * _SEQUENCE_LENGTH * _VALIDATIONS)))
    training = {
        "budget": config.training.budget,
        "epochs": epochs if epochs == _MOST_EPOCHS else None,  # or the time decides
        "steps": None,
        "optimizer": "adamw",
        "learning_rate": 1.6e-2 if hidden_size < 768 else 1.2e-2,
        "weight_decay": 0.2,
        "schedule": "cosine",
        "validate_every": every,
        "save_every": every,
        "teacher_share": 0.8,
    }
    chosen = config.model_copy(
        update={
            "model": model,
            "batches": batches,
            "training": config.training.model_copy(update=training),
            "ensemble": ensemble,
        }
    )
    return Advice(chosen, tuple(_reasons(chosen, epochs, seconds, rate, limit)))


def _reasons(
    chosen: Config, epochs: float, seconds: float, rate: float, limit: str
) -> Iterator[str]:
    model, training, ensemble = chosen.model, chosen.training, chosen.ensemble
    if model.cell == "mogrifier":
        yield "a mogrifier of one layer: it learns faster than an LSTM, and computes as fast here"
    else:
        yield "an LSTM of one layer: the fastest gated cell without charlm's kernels"
    yield (
        f"hidden size {model.hidden_size}: {limit} (this machine: {rate:,.0f} characters a second)"
    )
    yield (
        f"dropout {model.dropout:g}, of characters' vectors {model.embedding_dropout:g}: the text "
        f"is read {epochs:,.1f} times"
    )
    if ensemble.student:
        yield (
            f"{ensemble.members} networks and a student of theirs: in the time of one, the text "
            f"would be read more than {_SEVERAL_EPOCHS:g} times"
        )
    if ensemble.ngram_order is not None:
        yield (
            f"n-grams up to order {ensemble.ngram_order} beside: they know at once what stands in "
            "the text word by word (without: ensemble.ngram_order=null)"
        )
    if epochs < _MOST_EPOCHS:
        length = f"{seconds:,.0f} seconds" + (" each" if ensemble.size > 1 else "")
    else:
        length = f"{epochs:g} epochs: so small a text has no more to teach"
    yield f"{length}; the learning rate falls from {training.learning_rate:g} with it"
    yield (
        f"{chosen.batches.batch_size} columns of {chosen.batches.sequence_length} steps, weight "
        f"decay {training.weight_decay:g}"
    )


def choose_ensemble(epochs: float) -> EnsembleConfig:
    """Return what to train where one network alone could read the text so many times."""
    if epochs < _SEVERAL_EPOCHS:
        return EnsembleConfig(ngram_order=_NGRAM_ORDER)
    return EnsembleConfig(members=2, student=0.4, ngram_order=_NGRAM_ORDER)


def choose_size(
    characters: int, seconds: float, speed: Callable[[int], float]
) -> tuple[int, float, str]:
    """Return the largest size that text and time allow, its speed, and which of them was short."""
    size, rate = _SIZES[0], speed(_SIZES[0])
    for larger in _SIZES[1:]:
        if weights_of(larger) > _WEIGHTS_AT_A_MILLION * (characters / 1e6) ** _GROWTH:
            return size, rate, f"{characters:,} characters of text cannot fill a larger one"
        larger_rate = speed(larger)
        if seconds * larger_rate < _CHARACTERS_A_WEIGHT * weights_of(larger):
            return size, rate, f"{seconds:,.0f} seconds are too short for a larger one"
        size, rate = larger, larger_rate
    return size, rate, "the largest that is tried"


def embedding_of(hidden_size: int) -> int:
    """Return the size of a character's vector in a model of this size."""
    return min(128, hidden_size // 2)


def weights_of(hidden_size: int) -> int:
    """Return how many weights an LSTM of this size has."""
    return 4 * hidden_size * (hidden_size + embedding_of(hidden_size))


def choose_dropout(epochs: float) -> float:
    """Return more dropout the more often the text is read; none for a text that is read once."""
    return round(min(0.5, max(0.0, 0.09 * math.log2(max(1.0, epochs)) - 0.08)), 2)


def measured_speed(
    config: Config, cell: Literal["mogrifier", "lstm"], vocabulary_size: int, hidden_size: int
) -> float:
    """Return how many characters a second a model of this size learns from, by a few steps."""
    shape = ModelConfig(
        cell=cell, hidden_size=hidden_size, embedding_size=embedding_of(hidden_size)
    )
    model = LanguageModel(shape, vocabulary_size)
    model.initialize(torch.Generator().manual_seed(0))
    model.to(choose_device(config.training.device))
    model.precision = config.training.product_precision
    optimizer = make_optimizer(model, config.training)
    places = (_SEQUENCE_LENGTH + 1, _BATCH_SIZE)
    ids = torch.randint(vocabulary_size, places, generator=torch.Generator().manual_seed(0))
    ids = ids.to(model.device)
    shortest = math.inf
    for _ in range(4):
        start = perf_counter()
        loss, _ = model.loss(ids[:-1], ids[1:], model.initial_state(_BATCH_SIZE))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        shortest = min(shortest, perf_counter() - start)
    return ids[1:].numel() / shortest
