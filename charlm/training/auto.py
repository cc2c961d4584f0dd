"""A config for a text: by its size and alphabet, the time that there is, and this machine's speed.

These are rules, not a search: all the time is spent on what is kept. What they rest on is measured
in the README, with where they were tried.
"""

import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cache, partial
from time import perf_counter
from typing import Any

import torch

from charlm.config.schema import BatchesConfig, Config, EnsembleConfig, ModelConfig
from charlm.corpus.corpus import Corpus
from charlm.formatting import count
from charlm.kernels.loading import Precision
from charlm.models.language_model import LanguageModel, choose_device
from charlm.training.calibration import can_compile
from charlm.training.optimizer import make_optimizer

_SIZES = (64, 96, 128, 192, 256, 384, 512, 768, 1024)
_CHARACTERS_A_WEIGHT = 5
"""Characters to learn from that each weight needs, repetitions included."""
_WEIGHTS_AT_A_MILLION, _GROWTH = 2e6, 0.6
"""Recurrent weights that a million characters can use, and the power at which that grows."""
_MOST_EPOCHS = 60.0
_SEVERAL_EPOCHS = 35.0
"""Epochs that one network would have, from which on two and their student are better."""
_MOGRIFIER_EPOCHS = 12.0
"""From so many on, it has learnt a text by heart sooner than an LSTM has."""
_BATCHES = BatchesConfig(
    batch_size=32, sequence_length=64, reset_probability=0.02, hapax_dropout=0.5
)
_STEPS_AN_EPOCH = 3
"""A shorter text is read in fewer columns, or an epoch would be a step or two."""
_WARM_UP = 0.1
"""Of all steps, at most."""
_EMBEDDING_DROPOUT = 1.4
"""That of the characters' vectors, over the square of the other: small texts need most of it."""
_NGRAM_ORDER = 7
_VALIDATIONS = 30
_SHARE_OF_VALIDATION, _SCORING = 0.05, 3.0
"""Of the time, at most; and how much faster than training it is to score a text."""


@dataclass(frozen=True)
class Advice:
    """What to train, and why."""

    config: Config
    reasons: tuple[str, ...]
    """A line for each choice."""


def advise(
    config: Config,
    corpus: Corpus,
    settled: Collection[str] = (),
    precision: Precision = "float32",
) -> Advice:
    """Return a config for a text, within `training.budget`.

    Members of an ensemble share the time. Keys that are `settled`, as `section.key`, stay as they
    are, and so do corpus, seed, device and what else does not decide how well it learns.
    """
    settled = {*settled}
    if config.model.tie_weights and "model.embedding_size" in settled:
        settled.add("model.hidden_size")
    choose = partial(_choose, settled=settled)
    characters, budget = len(corpus.parts["train"]), config.training.budget or 600.0
    is_compiled = can_compile(config)
    cell = {"cell": "mogrifier" if is_compiled else "lstm"}
    defaults = ModelConfig().model_dump(exclude={"hidden_size", "embedding_size"})
    config = choose(config, "model", defaults | cell)  # sizes follow, which tying would compare
    batches = _BATCHES.model_dump() | {"batch_size": choose_columns(characters)}
    config = choose(config, "batches", batches)
    speed = cache(partial(measured_speed, config, precision, len(corpus.vocabulary)))

    def size_in(seconds: float) -> tuple[int, float, str]:
        if "model.hidden_size" in settled:
            return config.model.hidden_size, speed(config.model.hidden_size), "as it was set"
        return choose_size(characters, seconds, speed)

    if not config.ensemble.is_wanted or any(key.startswith("ensemble.") for key in settled):
        mixes = is_compiled and len(corpus.parts["validation"]) > 1  # in Python, counts are slow
        chosen = choose_ensemble(budget * size_in(budget)[1] / characters, mixes)
        config = choose(config, "ensemble", chosen.model_dump())
    seconds = budget * config.ensemble.share(0)
    hidden_size, rate, limit = size_in(seconds)
    epochs = min(_MOST_EPOCHS, seconds * rate / characters)
    dropout = choose_dropout(epochs)
    model = {
        "cell": "mogrifier" if is_compiled and epochs < _MOGRIFIER_EPOCHS else "lstm",
        "hidden_size": hidden_size,
        "embedding_size": embedding_of(hidden_size, config.model.tie_weights),
        "dropout": dropout,
        "embedding_dropout": round(_EMBEDDING_DROPOUT * dropout**2, 2),
    }
    config = choose(config, "model", model)
    every = choose_interval(config, corpus, epochs)
    steps = epochs * characters / (config.batches.batch_size * config.batches.sequence_length)
    training = {
        "epochs": epochs if epochs == _MOST_EPOCHS else None,  # or the time decides
        "steps": None,
        "optimizer": "adamw",
        "learning_rate": 1.6e-2 if hidden_size < 768 else 1.2e-2,
        "weight_decay": 0.2,
        "schedule": "cosine",
        "warmup_steps": min(50, math.ceil(_WARM_UP * steps)),
        "validate_every": every,
        "save_every": every,
    }
    if config.ensemble.student:
        training["teacher_share"] = 0.8
    config = choose(config, "training", training)
    reasons = _reasons(config, epochs, seconds, rate, limit)
    return Advice(config, tuple(reason for key, reason in reasons if key not in settled))


def _choose(
    config: Config, section: str, choices: dict[str, Any], settled: Collection[str]
) -> Config:
    """Return the config with choices made in a section, but for keys that are settled."""
    made = {key: value for key, value in choices.items() if f"{section}.{key}" not in settled}
    return config.replace(**{section: made})


def _reasons(
    config: Config, epochs: float, seconds: float, rate: float, limit: str
) -> Iterator[tuple[str, str]]:
    """Yield a line for each choice, and a key that would have settled it."""
    model, training, ensemble = config.model, config.training, config.ensemble
    if model.cell == "mogrifier":
        yield "model.cell", "a mogrifier: it learns faster than an LSTM"
    elif epochs < _MOGRIFIER_EPOCHS:
        yield "model.cell", "an LSTM: of the gated cells, the one that PyTorch alone runs well"
    else:
        yield "model.cell", "an LSTM: what is read so often, a mogrifier learns by heart"
    yield (
        "model.hidden_size",
        f"hidden size {model.hidden_size}: {limit} (this machine: {rate:,.0f} characters a second)",
    )
    yield (
        "model.dropout",
        f"dropout {model.dropout:g}, of characters' vectors {model.embedding_dropout:g}: the text "
        f"is read {epochs:,.1f} times",
    )
    if ensemble.student:
        yield (
            "ensemble.members",
            f"{ensemble.members} networks and a student of theirs: one alone would have time to "
            f"read the text more than {_SEVERAL_EPOCHS:g} times",
        )
    if ensemble.ngram_order is not None:
        yield (
            "ensemble.ngram_order",
            f"n-grams up to order {ensemble.ngram_order} beside: they know at once what the text "
            "says word by word",
        )
    if epochs < _MOST_EPOCHS:
        length = f"{seconds:,.0f} seconds" + (" each" if ensemble.size > 1 else "")
    else:
        length = f"{epochs:g} epochs: so small a text has no more to teach"
    yield (
        "training.learning_rate",
        f"{length}; the learning rate falls from {training.learning_rate:g} with it",
    )
    yield (
        "batches.batch_size",
        f"{count(config.batches.batch_size, 'column')} of "
        f"{count(config.batches.sequence_length, 'step')}, weight decay {training.weight_decay:g}",
    )


def choose_ensemble(epochs: float, mixes: bool) -> EnsembleConfig:
    """Return what to train where one network alone could read the text so many times.

    `mixes` says whether n-grams can be mixed in.
    """
    ngrams = EnsembleConfig(ngram_order=_NGRAM_ORDER if mixes else None)
    if epochs < _SEVERAL_EPOCHS:
        return ngrams
    return ngrams.replace(members=2, student=0.4)


def choose_columns(characters: int) -> int:
    """Return how many columns to read a text in: few enough for some steps an epoch."""
    most = characters / (_STEPS_AN_EPOCH * _BATCHES.sequence_length)
    return min(_BATCHES.batch_size, 1 << math.floor(math.log2(max(1.0, most))))


def choose_interval(config: Config, corpus: Corpus, epochs: float) -> int:
    """Return the steps between validations: they shall take a small part of the time."""
    batches, limit = config.batches, config.training.validation_characters
    read = epochs * len(corpus.parts["train"])
    scored = min(len(corpus.parts["validation"]), limit or math.inf)
    least = max(read / _VALIDATIONS, scored / (_SCORING * _SHARE_OF_VALIDATION))
    return max(1, math.ceil(least / (batches.batch_size * batches.sequence_length)))


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


def embedding_of(hidden_size: int, is_tied: bool = False) -> int:
    """Return the size of a character's vector in a model of this size."""
    return hidden_size if is_tied else min(128, max(1, hidden_size // 2))


def weights_of(hidden_size: int) -> int:
    """Return how many weights an LSTM of this size has."""
    return 4 * hidden_size * (hidden_size + embedding_of(hidden_size))


def choose_dropout(epochs: float) -> float:
    """Return more dropout the more often the text is read; none for a text that is read once."""
    return round(min(0.5, max(0.0, 0.09 * math.log2(max(1.0, epochs)) - 0.08)), 2)


def measured_speed(
    config: Config, precision: Precision, vocabulary_size: int, hidden_size: int
) -> float:
    """Return how many characters a second a model of this size learns from, by a few steps.

    Dropout, which may have been set, is left out: it takes little.
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
    places = (config.batches.sequence_length + 1, batch_size)
    ids = torch.randint(vocabulary_size, places, generator=torch.Generator().manual_seed(0))
    ids = ids.to(model.device)
    for _ in range(4):
        start = perf_counter()
        loss, _ = model.loss(ids[:-1], ids[1:], model.initial_state(batch_size))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        if model.device.type != "cpu":
            torch.accelerator.synchronize()
        shortest = min(shortest, perf_counter() - start)
    return ids[1:].numel() / shortest
