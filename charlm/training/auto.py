"""Choose a config for a text by its size and alphabet, the time budget and this machine's speed.

The choices follow the rules of `auto_rules`, not a search, so that the whole budget trains the
final model.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from charlm.config.schema import Config, ModelConfig
from charlm.corpus.corpus import Corpus
from charlm.corpus.letters import LINE_END, letters_of
from charlm.kernels.loading import Precision
from charlm.training.auto_reasons import reasons_for
from charlm.training.auto_rules import (
    choose_batches,
    choose_cell,
    choose_dropout,
    choose_ensemble,
    choose_interval,
    choose_size,
    embedding_of,
)
from charlm.training.calibration import can_compile
from charlm.training.speed import measured_speed

EPOCH_LIMIT = 60.0
"""Number of epochs that charlm chooses at most."""
_WARMUP_FRACTION = 0.1
"""Largest fraction of all steps that is warm-up."""
_EMBEDDING_DROPOUT_FACTOR = 1.4
"""Embedding dropout divided by the square of dropout: small texts need most of it."""


@dataclass(frozen=True)
class Advice:
    """A config, and the reasons for its choices."""

    config: Config
    reasons: tuple[str, ...]
    """One line per choice."""


def advise(
    config: Config,
    corpus: Corpus,
    settled: Collection[str] = (),
    precision: Precision = "float32",
    seconds: float | None = None,
) -> Advice:
    """Return a config for a text and the `seconds` that training gets of `training.budget`.

    By default, training gets all of it. The members of an ensemble share them. Keys in `settled`
    (`section.key`) keep their values, and so do the corpus, the seed, the device and whatever does
    not affect the loss.
    """
    settled = {*settled}
    if config.model.tie_weights and "model.embedding_size" in settled:
        settled.add("model.hidden_size")
    choose = partial(_choose, settled=settled)
    characters, budget = len(corpus.splits["train"]), seconds or config.training.budget or 600.0
    is_compiled = can_compile(config)
    defaults = ModelConfig().model_dump(exclude={"hidden_size", "embedding_size"})
    cell = {"cell": choose_cell(0.0, is_compiled)}  # that of few epochs, to measure its speed
    config = choose(config, "model", defaults | cell)  # later: sizes, which tied weights restrict
    config = choose(config, "batches", choose_batches(characters).model_dump())
    set_epochs = _set_epochs(config, settled, characters)
    most_epochs = EPOCH_LIMIT if set_epochs is None else set_epochs
    is_timed = config.training.budget is not None or set_epochs is None
    speed = cache(partial(measured_speed, config, precision, len(corpus.vocabulary)))

    def size_in(seconds: float) -> tuple[int, float, str]:
        if "model.hidden_size" in settled:
            return config.model.hidden_size, speed(config.model.hidden_size), "as set"
        return choose_size(characters, seconds, speed)

    has_records = corpus.boundary is not None
    if not config.ensemble.is_wanted or any(key.startswith("ensemble.") for key in settled):
        has_ngrams = len(corpus.splits["validation"]) > 1  # their mixture weights are fitted to it
        epochs = budget * size_in(budget)[1] / characters
        # The members share the time budget, so an ensemble needs one.
        epochs = min(epochs, set_epochs or math.inf) if is_timed else 0.0
        chosen = choose_ensemble(epochs, has_ngrams, has_lines=_has_lines(corpus))
        config = choose(config, "ensemble", chosen.model_dump())
    seconds = budget * config.ensemble.share(0)
    hidden_size, rate, limit = size_in(seconds)
    epochs = min(most_epochs, seconds * rate / characters) if is_timed else most_epochs
    dropout = choose_dropout(epochs)
    model = {
        "cell": choose_cell(epochs, is_compiled, has_records=has_records),
        "hidden_size": hidden_size,
        "embedding_size": embedding_of(hidden_size, config.model.tie_weights),
        "dropout": dropout,
        "embedding_dropout": round(_EMBEDDING_DROPOUT_FACTOR * dropout**2, 2),
    }
    config = choose(config, "model", model)
    num_read = epochs * characters
    if set_epochs is None:
        config = choose(config, "batches", choose_batches(characters, num_read).model_dump())
    every = choose_interval(config, num_read, len(corpus.splits["validation"]))
    steps = num_read / (config.batches.batch_size * config.batches.sequence_length)
    training = {
        "epochs": epochs if set_epochs is None and epochs == EPOCH_LIMIT else None,
        "steps": None,
        "optimizer": "adamw",
        "learning_rate": 1.6e-2 if hidden_size < 768 else 1.2e-2,
        "weight_decay": 0.2,
        "schedule": "cosine",
        "warmup_steps": min(50, math.ceil(_WARMUP_FRACTION * steps)),
        "validate_every": every,
        "save_every": every,
    }
    if config.ensemble.student:
        training["teacher_share"] = 0.8
    config = choose(config, "training", training)
    length = _describe_length(epochs, is_set=epochs == set_epochs)
    reasons = reasons_for(config, epochs, rate, limit, length)
    return Advice(config, tuple(reason for key, reason in reasons if key not in settled))


def _choose(
    config: Config, section: str, choices: dict[str, Any], settled: Collection[str]
) -> Config:
    """Return the config with the choices in a section, except for settled keys."""
    changes = {key: value for key, value in choices.items() if f"{section}.{key}" not in settled}
    return config.replace(**{section: changes})


def _has_lines(corpus: Corpus) -> bool:
    """Whether a line of the text, or of a record, can have a line above."""
    letters = letters_of(corpus.vocabulary)
    line_ends = np.flatnonzero(letters == LINE_END)
    return any(one != corpus.boundary for one in line_ends.tolist())


def _describe_length(epochs: float, *, is_set: bool) -> str:
    """Describe how long a network trains; another line divides the time, once it is measured."""
    if is_set:
        return f"{epochs:.3g} epochs, as set"
    if epochs < EPOCH_LIMIT:
        return "as many epochs as the time allows"
    return f"{epochs:g} epochs: more would not help with so small a text"


def _set_epochs(config: Config, settled: Collection[str], characters: int) -> float | None:
    """Return the epochs after which a limit that the user has set ends the training, or None."""
    training, batches = config.training, config.batches
    limits = []
    if training.epochs is not None and "training.epochs" in settled:
        limits.append(training.epochs)
    if training.steps is not None and "training.steps" in settled:
        limits.append(training.steps * batches.batch_size * batches.sequence_length / characters)
    return min(limits, default=None)
