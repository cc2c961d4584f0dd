"""Score a text by simple methods, which a model should beat on the same characters.

The n-grams interpolate the counts of all shorter contexts (see `models.ngrams`); their
distribution sums to one over the vocabulary.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Integer

from charlm.analysis.compressors import compressors
from charlm.corpus.corpus import Corpus
from charlm.corpus.vocabulary import Ids, Vocabulary
from charlm.formatting import count
from charlm.models.ngrams import NGrams, first_weights, make_ngrams
from charlm.prediction.evaluation import Evaluation
from charlm.prediction.predictor import Predictor
from charlm.runs.training_text import training_corpus

COUNTED_CHARACTERS = 4_000_000
"""Number of characters of the training split, its last ones, whose n-grams are counted."""
_HIGHEST_ORDER = 12
_CHOICE_CHARACTERS = 50_000
"""Number of characters of the validation split on which the order is chosen."""
_HELD_OUT_SHARE = 0.05
"""Fraction of the training split on which the order is chosen if there is no validation split."""
_PIECE_FLOATS = 1 << 20


@dataclass(frozen=True)
class Baseline:
    """Bits that a simple method needs for the scored characters."""

    name: str
    bits_per_character: float
    remark: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"bits_per_character": self.bits_per_character, "remark": self.remark}


def baselines(predictor: Predictor, evaluation: Evaluation) -> list[Baseline]:
    """Score the text of an evaluation by simple methods that have read the training split.

    Raises `CorpusError` if the training text is missing.
    """
    scored, checkpoint = evaluation.text, predictor.checkpoint
    assert checkpoint is not None, "an evaluated model was loaded from a checkpoint"
    remedy = "omit --baselines, which needs it"
    corpus = scored.corpus or training_corpus(scored.moved or checkpoint, remedy, remedy)
    return baselines_of(scored.split.ids, corpus, predictor.vocabulary)


def baselines_of(text: Ids, corpus: Corpus, vocabulary: Vocabulary) -> list[Baseline]:
    """Score every id of a text but the first, after the training split of a corpus."""
    number, training, boundary = len(text) - 1, corpus.splits["train"].ids, corpus.boundary
    size, counted = len(vocabulary), training[-COUNTED_CHARACTERS:]
    cut = ""
    if len(training) > COUNTED_CHARACTERS:
        cut = f"counted in the last {COUNTED_CHARACTERS / 1e6:.0f} million characters"
    order = best_order(counted, corpus.splits["validation"].ids, size, boundary)
    single, best = (
        ngram_nats(_counts(counted, length, size, boundary), text) / number / math.log(2)
        for length in (0, order)
    )
    contexts = f"contexts of up to {count(order, vocabulary.unit)}"
    found = [
        Baseline("uniform", math.log2(size), f"{size:,} symbols"),
        Baseline("single characters", single, cut),
        Baseline("n-grams", best, f"{contexts}{cut and '; ' + cut}"),
    ]
    # The first character of the text is given to the model, and so to the compressors.
    before = vocabulary.decode_bytes(training) + vocabulary.decode_bytes(text[:1])
    after = vocabulary.decode_bytes(text[1:])
    for name, compressor in compressors().items():
        bits = compressor.added_bits(before, after) / number
        found.append(Baseline(name, bits, compressor.remark(before)))
    return found


def best_order(
    training: Integer[np.ndarray, " training"],
    validation: Integer[np.ndarray, " validation"],
    size: int,
    boundary: int | None = None,
) -> int:
    """Return the length of the contexts with the lowest loss on the validation split.

    Without one, the end of the training split is held out. Longer contexts are tried until the
    loss rises.
    """
    if len(validation) < 2:
        cut = len(training) - max(2, int(_HELD_OUT_SHARE * len(training)))
        training, validation = training[: max(0, cut)], training[max(0, cut) :]
    text, best, lowest = validation[:_CHOICE_CHARACTERS], 0, math.inf
    for order in range(_HIGHEST_ORDER + 1):
        nats = ngram_nats(_counts(training, order, size, boundary), text)
        if nats >= lowest:
            break
        best, lowest = order, nats
    return best


def _counts(training: Ids, order: int, size: int, boundary: int | None) -> NGrams:
    """Count the n-grams of a text; no context crosses the boundary of records."""
    ngrams = make_ngrams(order, size, boundary)
    ngrams.count(np.concatenate([np.full(order, -1), training.astype(np.int64)]))
    return ngrams


def ngram_nats(ngrams: NGrams, text: Ids) -> float:
    """Return the sum of −ln p of every id of a text but the first."""
    total, place = 0.0, 1
    for logs in ngram_predictions(ngrams, text):
        targets = text[place : place + len(logs)]
        total -= float(logs[np.arange(len(logs)), targets].sum(dtype=np.float64))
        place += len(logs)
    return total


def ngram_predictions(
    ngrams: NGrams, text: Ids
) -> Iterator[Float32[np.ndarray, "time vocabulary"]]:
    """Yield the log-probabilities at every place of a text but the first, in pieces."""
    order, size = ngrams.order, ngrams.vocabulary_size
    weights = first_weights(order, 0)
    padded = np.concatenate([np.full(order, -1), text.astype(np.int64)])[1:]
    step = max(1, _PIECE_FLOATS // size)
    for start in range(0, len(text) - 1, step):
        steps = min(step, len(text) - 1 - start)
        nobody = np.empty((steps, 0, size), np.float32)
        yield ngrams.mix(padded[start : start + order + steps], nobody, weights)
