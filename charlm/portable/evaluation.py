"""Score a text with integers: the bits that `charlm compress` writes."""

import math

import numpy as np
from jaxtyping import Float64

from charlm.config.settings import TextPaths
from charlm.corpus.corpus import SplitName
from charlm.corpus.vocabulary import Ids
from charlm.portable.compiled_steps import steps_of
from charlm.portable.frequencies import TOTAL_BITS
from charlm.portable.network import IntegerNetwork
from charlm.prediction.evaluation import Evaluation, find_text, score_of_text
from charlm.prediction.predictor import Predictor

_METHOD = "exact, with integers: the same on every machine"


def evaluate_with_integers(
    predictor: Predictor,
    network: IntegerNetwork,
    text: TextPaths = (),
    split: SplitName | None = None,
) -> Evaluation:
    """Score the integer network of a model's checkpoint as `evaluate_text` scores the model."""
    scored = find_text(predictor, text, split)
    nats = integer_nats(network, scored.split.ids)
    return Evaluation(scored, score_of_text(predictor, scored, nats, method=_METHOD), nats)


def integer_nats(network: IntegerNetwork, ids: Ids) -> Float64[np.ndarray, " predictions"]:
    """Return −ln p of every id but the first, in the order of the text."""
    _, sizes = steps_of(network).read(ids)
    nats: Float64[np.ndarray, " predictions"] = TOTAL_BITS * math.log(2) - np.log(sizes[1:])
    return nats
