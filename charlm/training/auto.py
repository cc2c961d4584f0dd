"""Choose a config for a text by its size and alphabet, the time budget and this machine's speed.

The choices follow rules, not a search, so that the whole budget trains the final model.
`configs/README.md` states the measurements behind the rules.
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
from charlm.models.device import choose_device
from charlm.models.language_model import LanguageModel
from charlm.training.calibration import can_compile
from charlm.training.optimizer import make_optimizer

_HIDDEN_SIZES = (64, 96, 128, 192, 256, 384, 512, 768, 1024)
_CHARACTERS_PER_WEIGHT = 5
"""Number of training characters that each weight needs, repetitions included."""
_WEIGHTS_PER_MILLION, _WEIGHTS_EXPONENT = 2e6, 0.6
"""Recurrent weights that a million characters can train, and the exponent of their growth."""
_EPOCH_LIMIT = 60.0
_ENSEMBLE_EPOCHS = 35.0
"""Number of epochs of one network from which two networks and their student are better."""
_MOGRIFIER_EPOCHS = 12.0
"""Number of epochs from which a Mogrifier overfits more than an LSTM."""
_BATCHES = BatchesConfig(
    batch_size=32, sequence_length=64, reset_probability=0.02, hapax_dropout=0.5
)
_MIN_STEPS_PER_EPOCH = 3
"""Lowest number of steps per epoch; a short text is read in fewer columns to reach it."""
_WARMUP_FRACTION = 0.1
"""Largest fraction of all steps that is warm-up."""
_EMBEDDING_DROPOUT_FACTOR = 1.4
"""Embedding dropout divided by the square of dropout: small texts need most of it."""
_NGRAM_ORDER = 7
_MAX_VALIDATIONS = 30
_VALIDATION_FRACTION, _SCORING_SPEEDUP = 0.05, 3.0
"""Largest fraction of the time for validation, and how much faster scoring is than training."""


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

    By default, it gets all. The members of an ensemble share them. Keys in `settled`
    (`section.key`) keep their values, and so do the corpus, the seed, the device and whatever does
    not affect the loss.
    """
    settled = {*settled}
    if config.model.tie_weights and "model.embedding_size" in settled:
        settled.add("model.hidden_size")
    choose = partial(_choose, settled=settled)
    characters, budget = len(corpus.splits["train"]), seconds or config.training.budget or 600.0
    is_compiled = can_compile(config)
    cell = {"cell": "mogrifier" if is_compiled else "lstm"}
    defaults = ModelConfig().model_dump(exclude={"hidden_size", "embedding_size"})
    config = choose(config, "model", defaults | cell)  # later: sizes, which tied weights restrict
    batches = _BATCHES.model_dump() | {"batch_size": choose_columns(characters)}
    config = choose(config, "batches", batches)
    set_epochs = _set_epochs(config, settled, characters)
    most_epochs = _EPOCH_LIMIT if set_epochs is None else set_epochs
    is_timed = config.training.budget is not None or set_epochs is None
    speed = cache(partial(measured_speed, config, precision, len(corpus.vocabulary)))

    def size_in(seconds: float) -> tuple[int, float, str]:
        if "model.hidden_size" in settled:
            return config.model.hidden_size, speed(config.model.hidden_size), "as set"
        return choose_size(characters, seconds, speed)

    if not config.ensemble.is_wanted or any(key.startswith("ensemble.") for key in settled):
        # Without the kernels, n-grams are slow; without validation, their weights are not fitted.
        has_ngrams = is_compiled and len(corpus.splits["validation"]) > 1
        epochs = budget * size_in(budget)[1] / characters
        # The members share a time, so an ensemble needs one.
        epochs = min(epochs, set_epochs or math.inf) if is_timed else 0.0
        chosen = choose_ensemble(epochs, has_ngrams)
        config = choose(config, "ensemble", chosen.model_dump())
    seconds = budget * config.ensemble.share(0)
    hidden_size, rate, limit = size_in(seconds)
    epochs = min(most_epochs, seconds * rate / characters) if is_timed else most_epochs
    dropout = choose_dropout(epochs)
    model = {
        "cell": "mogrifier" if is_compiled and epochs < _MOGRIFIER_EPOCHS else "lstm",
        "hidden_size": hidden_size,
        "embedding_size": embedding_of(hidden_size, config.model.tie_weights),
        "dropout": dropout,
        "embedding_dropout": round(_EMBEDDING_DROPOUT_FACTOR * dropout**2, 2),
    }
    config = choose(config, "model", model)
    every = choose_interval(config, corpus, epochs)
    steps = epochs * characters / (config.batches.batch_size * config.batches.sequence_length)
    training = {
        "epochs": epochs if set_epochs is None and epochs == _EPOCH_LIMIT else None,
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
    length = _describe_length(config, epochs, None if epochs == set_epochs else seconds)
    reasons = _reasons(config, epochs, rate, limit, length)
    return Advice(config, tuple(reason for key, reason in reasons if key not in settled))


def _choose(
    config: Config, section: str, choices: dict[str, Any], settled: Collection[str]
) -> Config:
    """Return the config with the choices in a section, except for settled keys."""
    changes = {key: value for key, value in choices.items() if f"{section}.{key}" not in settled}
    return config.replace(**{section: changes})


def _reasons(
    config: Config, epochs: float, rate: float, limit: str, length: str
) -> Iterator[tuple[str, str]]:
    """Yield a line for each choice, with the key that would have settled it."""
    model, training, ensemble = config.model, config.training, config.ensemble
    if model.cell == "mogrifier":
        yield "model.cell", "a mogrifier: it learns faster than an LSTM"
    elif epochs < _MOGRIFIER_EPOCHS:
        yield "model.cell", "an LSTM: the fastest gated cell without compiled kernels"
    else:
        yield "model.cell", "an LSTM: a mogrifier overfits a text that is read so often"
    yield (
        "model.hidden_size",
        f"hidden size {model.hidden_size}: {limit}; it trains on {rate:,.0f} characters per "
        "second here",
    )
    yield (
        "model.dropout",
        f"dropout {model.dropout:g}, embedding dropout {model.embedding_dropout:g}: training "
        f"reads the text about {epochs:,.1f} times",
    )
    if ensemble.student:
        yield (
            "ensemble.members",
            f"{ensemble.members} networks and their student: a single network would read the text "
            f"more than {_ENSEMBLE_EPOCHS:g} times, and learn it by heart",
        )
    if ensemble.ngram_order is not None:
        yield (
            "ensemble.ngram_order",
            f"n-grams up to order {ensemble.ngram_order} as well: counts of the sequences of "
            "characters in the text, which predict phrases that it repeats",
        )
    yield (
        "training.learning_rate",
        f"{length}; meanwhile the learning rate falls from {training.learning_rate:g}",
    )
    yield (
        "batches.batch_size",
        f"{count(config.batches.batch_size, 'column')} of "
        f"{count(config.batches.sequence_length, 'step')}, weight decay {training.weight_decay:g}",
    )


def _describe_length(config: Config, epochs: float, seconds: float | None) -> str:
    """Describe how long a network trains; `seconds` is None if the user has set the epochs."""
    if seconds is None:
        return f"{epochs:.3g} epochs, as set"
    if epochs < _EPOCH_LIMIT:
        return f"{seconds:,.0f} seconds" + (" each" if config.ensemble.size > 1 else "")
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


def choose_ensemble(epochs: float, has_ngrams: bool) -> EnsembleConfig:
    """Return the ensemble for a budget in which a single network would take `epochs`."""
    ngrams = EnsembleConfig(ngram_order=_NGRAM_ORDER if has_ngrams else None)
    if epochs < _ENSEMBLE_EPOCHS:
        return ngrams
    return ngrams.replace(members=2, student=0.4)


def choose_columns(characters: int) -> int:
    """Return the number of columns of a batch: few enough for several steps per epoch."""
    limit = characters / (_MIN_STEPS_PER_EPOCH * _BATCHES.sequence_length)
    return min(_BATCHES.batch_size, 1 << math.floor(math.log2(max(1.0, limit))))


def choose_interval(config: Config, corpus: Corpus, epochs: float) -> int:
    """Return the number of steps between validations, which take a small part of the time."""
    batches, limit = config.batches, config.training.validation_characters
    read = epochs * len(corpus.splits["train"])
    scored = min(len(corpus.splits["validation"]), limit or math.inf)
    least = max(read / _MAX_VALIDATIONS, scored / (_SCORING_SPEEDUP * _VALIDATION_FRACTION))
    return max(1, math.ceil(least / (batches.batch_size * batches.sequence_length)))


def choose_size(
    characters: int, seconds: float, speed: Callable[[int], float]
) -> tuple[int, float, str]:
    """Return the largest hidden size that text and time allow, its speed, and what limits it."""
    size, rate = _HIDDEN_SIZES[0], speed(_HIDDEN_SIZES[0])
    for larger in _HIDDEN_SIZES[1:]:
        if weights_of(larger) > _WEIGHTS_PER_MILLION * (characters / 1e6) ** _WEIGHTS_EXPONENT:
            return size, rate, f"{characters:,} characters of text are too few for a larger one"
        larger_rate = speed(larger)
        if seconds * larger_rate < _CHARACTERS_PER_WEIGHT * weights_of(larger):
            return size, rate, f"{seconds:,.0f} seconds are too short for a larger one"
        size, rate = larger, larger_rate
    return size, rate, "the largest that charlm chooses"


def embedding_of(hidden_size: int, is_tied: bool = False) -> int:
    """Return the embedding size for a hidden size."""
    return hidden_size if is_tied else min(128, max(1, hidden_size // 2))


def weights_of(hidden_size: int) -> int:
    """Return the number of weights of an LSTM of this size."""
    return 4 * hidden_size * (hidden_size + embedding_of(hidden_size))


def choose_dropout(epochs: float) -> float:
    """Return the dropout probability: 0 for one epoch, and more for more epochs."""
    return round(min(0.5, max(0.0, 0.09 * math.log2(max(1.0, epochs)) - 0.08)), 2)


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
        if model.device.type != "cpu":
            torch.accelerator.synchronize()
        shortest = min(shortest, perf_counter() - start)
    return ids[1:].numel() / shortest
