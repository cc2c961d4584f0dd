"""Fit the mixture weights of an ensemble to a text that its members were not trained on."""

import math

import numpy as np
import torch
from jaxtyping import Integer

from charlm.errors import DivergenceError
from charlm.models.ensemble import Ensemble
from charlm.models.ngrams import nats

_LEARNING_RATES = (0.02, 0.01, 0.005, 0.002, 0.001)
"""Learning rates of the weights, one for each pass over the text."""
_WORDS_FACTOR, _LINES_FACTOR = 0.25, 0.5
"""Factors of these with contexts of words and of the line above, whose additional weights fit a
short text too closely."""
_PIECE_CHARACTERS = 1 << 12
"""Number of characters that the members read at once."""
CONTEXT_CHARACTERS = 256
"""Number of characters that the members read before the text."""
FIT_LIMIT_CHARACTERS = 100_000
_FIT_LIMIT_FLOATS = 1 << 25
"""Limit for the predictions of all members in memory."""


@torch.inference_mode()
def fit_mixture(
    ensemble: Ensemble,
    context: Integer[np.ndarray, " context"],
    text: Integer[np.ndarray, " text"],
    limit: int = FIT_LIMIT_CHARACTERS,
) -> float:
    """Fit mixture weights to a text, or to `limit` characters of it, that no member was trained on.

    `context` is the text before it; if it is empty, the first character of `text` is context.
    Returns the mean nats per character of the last pass. Raises `DivergenceError` if the output
    of a network is not finite.
    """
    window, size = ensemble.ngrams.window, len(ensemble.members) * ensemble.vocabulary_size
    text = text[: max(2, min(limit, _FIT_LIMIT_FLOATS // size))].astype(np.int64)
    if not len(context):
        context, text = text[:1], text[1:]
    start = context[-CONTEXT_CHARACTERS:].astype(np.int64)
    inputs = torch.from_numpy(np.concatenate([start, text])[:-1]).to(ensemble.device)
    state, pieces = ensemble.initial_state(1)[:-1], []
    for piece in torch.split(inputs.unsqueeze(1), _PIECE_CHARACTERS):
        piece_predictions, state = ensemble.predictions(piece, state)
        pieces.append(piece_predictions[:, 0])
    predictions = np.concatenate(pieces)[len(start) - 1 :]
    before = np.concatenate([np.full(window, -1), context[-max(1, window) :]])
    ids = np.concatenate([before[len(before) - window :], text])
    parts = ensemble.ngrams.parts
    factor = _WORDS_FACTOR**parts.has_words * _LINES_FACTOR**parts.has_lines
    total = 0.0
    for rate in _LEARNING_RATES:
        mixed = ensemble.ngrams.mix(ids, predictions, ensemble.weights, factor * rate)
        total = nats(mixed, text)
    if not math.isfinite(total):
        raise DivergenceError(
            f"the loss of the mixture is {total}: a network's output is not finite on the "
            "validation split; train at a lower training.learning_rate"
        )
    return total / len(text)
