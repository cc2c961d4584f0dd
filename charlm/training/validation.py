"""Validation during training: the score of the validation split, and a sample of text."""

import math
from dataclasses import replace

from charlm.errors import DivergenceError
from charlm.prediction.generation import encode_prefix, generate_bytes
from charlm.prediction.perplexity import Score
from charlm.prediction.predictor import Predictor
from charlm.prediction.reading import Streams
from charlm.prediction.scoring import evaluate_split, score_of
from charlm.training.state import TrainingState


def validation_score(state: TrainingState) -> Score | None:
    """Score the validation split with the model's weights; return None if the split is empty.

    Raises `DivergenceError` for a loss that is not finite.
    """
    training, split = state.config.training, state.corpus.splits["validation"]
    if not len(split):
        return None
    score = evaluate_split(
        state.model, split, training.validation_rows, state.processes, _characters(state)
    )
    if not math.isfinite(score.nats):
        raise DivergenceError(f"step {state.trainer.step}: the validation loss is {score.nats}")
    return score


def best_validation(state: TrainingState) -> Score | None:
    """Return the lowest validation loss as a score of the characters that a validation reads."""
    loss, split = state.counters.best_loss, state.corpus.splits["validation"]
    if loss is None:
        return None
    rows = state.config.training.validation_rows
    streams = Streams.for_model(state.model, split.ids, rows, _characters(state))
    score = score_of(split, lambda: 0.0, streams)
    return replace(score, nats=loss * score.characters, precision=state.model.precision)


def _characters(state: TrainingState) -> int | None:
    """Return how many characters of the validation split are scored, at most."""
    return state.counters.validation_characters or state.config.training.validation_characters


def draw_sample(state: TrainingState) -> str:
    """Draw a text with the model's weights.

    It depends only on the weights, the step and the seed of the config. No step depends on it.
    """
    config = state.config
    predictor = Predictor(state.model, state.corpus.vocabulary, config, opening=state.opening())
    return sample_text(predictor, (config.training.seed * 1_000_003 + state.trainer.step) % 2**63)


def sample_text(predictor: Predictor, seed: int) -> str:
    """Draw a text after the prefix of the config; of records, as many whole ones as fit.

    Bytes of a byte model that are not UTF-8 are surrogates in it (PEP 383), so that none is lost.
    """
    prefix = encode_prefix(predictor)
    drawn = b"".join(generate_bytes(predictor, prefix, seed=seed))
    if predictor.records is not None:
        drawn = drawn.rpartition(predictor.records.written_as.encode())[0] or drawn
    sample = predictor.vocabulary.decode_bytes(prefix) + drawn
    return sample.decode("utf-8", "surrogateescape")
