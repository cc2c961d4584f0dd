"""Measure how rounding a network to integers changes its loss."""

import math
from dataclasses import replace
from pathlib import Path

from charlm.config.schema import EnsembleConfig
from charlm.errors import CorpusError
from charlm.models.ensemble import AnyModel
from charlm.portable.evaluation import integer_nats
from charlm.portable.network import IntegerNetwork
from charlm.prediction.scored_text import text_to_score
from charlm.prediction.scoring import nats_of_each
from charlm.runs.checkpoint import Checkpoint, read_checkpoint
from charlm.runs.network_choice import chosen_network

_MAX_CHARACTERS = 20_000
_MAX_PRODUCTS = 3_000_000_000
"""What numpy computes in about a second, where the kernels do not run."""


def describe_rounding_loss(path: Path, network: IntegerNetwork) -> str:
    """Describe how rounding changes the loss of a checkpoint's network, or how to measure it.

    The integers and float32 score the same text, as `charlm eval` does: the beginning of the
    held-out split of the training text.
    """
    checkpoint = read_checkpoint(path)
    try:
        scored = text_to_score(checkpoint, (), None)
    except CorpusError as reason:
        return (
            "not measured how rounding to integers changes the loss (compare charlm eval --text "
            f"FILE with and without --portable): {reason}"
        )
    ids = scored.split.ids[: max(2, min(_MAX_CHARACTERS, _MAX_PRODUCTS // _num_products(network)))]
    exact = nats_of_each(_network_of(checkpoint), ids).sum(dtype=float)
    predictions = len(ids) - 1
    loss = (integer_nats(network, ids).sum() - exact) / math.log(2) / max(1, predictions)
    unit = network.vocabulary.unit
    return (
        f"rounding to integers changes the loss by {loss:+.5f} bits per {unit} "
        f"(on {predictions:,} {unit}s of the {scored.name} split)"
    )


def _network_of(checkpoint: Checkpoint) -> AnyModel:
    """Return the network that was rounded: of an ensemble, the chosen one, without n-grams."""
    config = checkpoint.config
    if config.ensemble.is_wanted:
        number, _ = chosen_network(config.ensemble, checkpoint.training_counters)
        prefix = f"members.{number}."
        weights = {
            name.removeprefix(prefix): tensor
            for name, tensor in checkpoint.weights.items()
            if name.startswith(prefix)
        }
        alone = config.replace(ensemble=EnsembleConfig())
        checkpoint = replace(checkpoint, config=alone, weights=weights)
    return checkpoint.make_model()


def _num_products(network: IntegerNetwork) -> int:
    """Return the number of products of a step, and of the input of a symbol."""
    layers = sum(layer.W_hh.size + layer.inputs.W.values.size for layer in network.layers)
    return layers + network.W_hq.size
