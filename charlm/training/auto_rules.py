"""Rules of `train --auto`: sizes, batches and ensemble that suit a text, a time and its epochs.

`configs/README.md` states the measurements behind the rules.
"""

import math
from collections.abc import Callable
from typing import Literal

from charlm.config.schema import BatchesConfig, Config, EnsembleConfig

_HIDDEN_SIZES = (64, 96, 128, 192, 256, 384, 512, 768, 1024)
_CHARACTERS_PER_WEIGHT = 5
"""Number of training characters that each weight needs, repetitions included."""
_WEIGHTS_PER_MILLION, _WEIGHTS_EXPONENT = 2e6, 0.6
"""Recurrent weights that a million characters can train, and the exponent of their growth."""
ENSEMBLE_EPOCHS = 35.0
"""Number of epochs of one network from which two networks and their student are better."""
MOGRIFIER_EPOCHS = 12.0
"""Number of epochs from which a Mogrifier overfits more than an LSTM."""
_MOGRIFIER_EPOCHS_OF_RECORDS = 20.0
"""The same of a list, whose records have other neighbours in each epoch."""
_BATCHES = BatchesConfig(
    batch_size=32, sequence_length=64, reset_probability=0.02, hapax_dropout=0.5
)
_MIN_STEPS_PER_EPOCH = 3
"""Lowest number of steps per epoch; a short text is read in fewer columns to reach it."""
_FEW_EPOCHS, _MIN_STEPS_OF_WIDE_BATCHES = 3.0, 1_000
"""Below this number of epochs, and from this number of steps, batches of twice as many columns are
better."""
_NGRAM_ORDER = 7
_MAX_VALIDATIONS = 30
_VALIDATION_FRACTION, _SCORING_SPEEDUP = 0.05, 3.0
"""Largest fraction of the time for validation, and how much faster scoring is than training."""


def choose_cell(
    epochs: float, is_compiled: bool, *, has_records: bool = False
) -> Literal["mogrifier", "lstm"]:
    """Return the cell for a number of epochs; without compiled kernels, a Mogrifier is slow."""
    limit = _MOGRIFIER_EPOCHS_OF_RECORDS if has_records else MOGRIFIER_EPOCHS
    return "mogrifier" if is_compiled and epochs < limit else "lstm"


def choose_ensemble(epochs: float, has_ngrams: bool, *, has_lines: bool = True) -> EnsembleConfig:
    """Return the ensemble for a budget in which a single network would take `epochs`."""
    ngrams = EnsembleConfig(
        ngram_order=_NGRAM_ORDER if has_ngrams else None,
        word_contexts=has_ngrams,
        line_contexts=has_ngrams and has_lines,
        match_model=has_ngrams,
    )
    if epochs < ENSEMBLE_EPOCHS:
        return ngrams
    return ngrams.replace(members=2, student=0.5)


def choose_batches(characters: int, num_read: float = 0.0) -> BatchesConfig:
    """Return the batches: their columns are few enough for several steps per epoch.

    There are twice as many if a network reads a long text less than three times (`num_read`
    characters in all).
    """
    limit = characters / (_MIN_STEPS_PER_EPOCH * _BATCHES.sequence_length)
    columns, most = 1 << math.floor(math.log2(max(1.0, limit))), _BATCHES.batch_size
    num_steps = num_read / (2 * most * _BATCHES.sequence_length)
    if num_steps >= _MIN_STEPS_OF_WIDE_BATCHES and num_read < _FEW_EPOCHS * characters:
        most *= 2
    return _BATCHES.replace(batch_size=min(most, columns))


def choose_interval(config: Config, num_read: float, num_validation: int) -> int:
    """Return the number of steps between validations, which take a small part of the time.

    Training reads `num_read` characters in all, and the validation split has `num_validation`.
    """
    batches, limit = config.batches, config.training.validation_characters
    num_scored = min(num_validation, limit or math.inf)
    least = max(num_read / _MAX_VALIDATIONS, num_scored / (_SCORING_SPEEDUP * _VALIDATION_FRACTION))
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
            return size, rate, "the time is too short for a larger one"
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
