"""Read the network of a checkpoint for predictions with integers, without torch."""

from pathlib import Path
from typing import Any

import numpy as np

from charlm.config.load import make_config
from charlm.config.schema import Config
from charlm.corpus.records import boundary_of
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import CharlmError, CheckpointError, file_errors
from charlm.files.untrusted import InvalidDataError, item
from charlm.portable.model_bytes import MAX_OPENINGS, arrays_of
from charlm.portable.network import IntegerNetwork, IntegerOpening
from charlm.portable.rounding import rounded_network, rounded_opening
from charlm.portable.sums import NUM_GATES, check_network
from charlm.runs.checkpoint_digest import check_digest
from charlm.runs.checkpoint_header import open_file, read_metadata
from charlm.runs.network_choice import chosen_network

_WHOLE = "model."
_NOTHING = np.empty(0)


def read_network(path: Path) -> tuple[IntegerNetwork, str]:
    """Return the integer network of a checkpoint, and a remark for the user or "".

    Of an ensemble it is one network, as for `training.start_from`: n-grams and mixing weights are
    not integers.
    """
    with file_errors("be read", path, "check the path", CheckpointError), open_file(path) as file:
        metadata = read_metadata(path, file)
        file.seek(0)
        data = file.read()
    check_digest(path, data, metadata["sha256"])
    try:
        config = make_config(item(metadata, "config", dict), str(path))
        vocabulary = Vocabulary.from_json(item(metadata, "vocabulary", dict))
        tensors = arrays_of(data)
        number, remark = _network_of(config, metadata, path)
        prefix = _WHOLE if number is None else f"{_WHOLE}members.{number}."
        weights = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        _check_shapes(config, len(vocabulary), weights)
        openings = _openings(config, len(vocabulary), tensors, number or 0)
    except InvalidDataError as reason:
        raise CheckpointError(
            f"{path}: not a checkpoint that this charlm reads ({reason!s:.300}); use another "
            "checkpoint of the run, or a copy"
        ) from None
    boundary = boundary_of(config.corpus, vocabulary)
    try:
        network = rounded_network(config.model, vocabulary, weights, openings, boundary)
        check_network(network)  # what it compresses can be decompressed
    except (CharlmError, InvalidDataError) as reason:
        raise CheckpointError(f"{path}: {reason}") from None
    return network, remark


def _network_of(config: Config, metadata: dict[str, Any], path: Path) -> tuple[int | None, str]:
    """Return the number of the network to use, None if there is only one, and a remark."""
    if not config.ensemble.is_wanted:
        return None, ""
    size = config.ensemble.size
    number, reason = chosen_network(config.ensemble, item(metadata, "counters", dict))
    return (
        number,
        f"{path}: an ensemble; using network {number + 1} of {size} without n-grams, {reason}",
    )


def _openings(
    config: Config, size: int, tensors: dict[str, np.ndarray], number: int
) -> tuple[IntegerOpening, ...]:
    """Return the first openings of a checkpoint, with the states of one network.

    States that are not finite are left out: processors turn them into different integers.
    """
    ids = tensors.get("opening.ids")
    if ids is None:
        return ()
    model = config.model
    is_relu = (model.cell, model.nonlinearity) == ("rnn", "relu")
    num_states = 2 if model.cell in ("lstm", "mogrifier") else 1
    first = number * model.num_layers
    states = [
        [tensors.get(f"opening.{layer}.{state}", _NOTHING) for state in range(num_states)]
        for layer in range(first, first + model.num_layers)
    ]
    shape = (len(ids), model.hidden_size)
    if ids.ndim != 1 or any(t.shape != shape or t.dtype != np.float32 for s in states for t in s):
        raise InvalidDataError("opening should hold a state for each layer")
    if not all(0 <= symbol < size for symbol in ids.tolist()):
        raise InvalidDataError("opening.ids should hold ids of the vocabulary")
    return tuple(
        rounded_opening(
            "relu" if is_relu else model.cell,
            symbol,
            [[tensor[column] for tensor in layer] for layer in states],
        )
        for column, symbol in enumerate(ids[:MAX_OPENINGS].tolist())
        if all(np.isfinite(tensor[column]).all() for layer in states for tensor in layer)
    )


def _check_shapes(config: Config, size: int, weights: dict[str, np.ndarray]) -> None:
    """Raise `InvalidDataError` unless the weights are those of such a network."""
    model = config.model
    hidden, vectors = model.hidden_size, model.embedding_size
    gates = NUM_GATES[model.cell] * hidden
    shapes: dict[str, tuple[int, ...]] = {"b_q": (size,)}
    if vectors:
        shapes["embedding"] = (size, vectors)
    if not model.tie_weights:
        shapes["W_hq"] = (hidden, size)
    for number in range(model.num_layers):
        inputs = hidden if number else vectors or size
        own = {"W_xh": (inputs, gates), "W_hh": (hidden, gates), "b_h": (gates,)}
        if model.cell == "mogrifier":
            own |= {"W_xg": (inputs, hidden), "b_g": (hidden,)}
        shapes |= {f"layers.{number}.{name}": shape for name, shape in own.items()}
    for name, shape in shapes.items():
        tensor = weights.get(name)
        if tensor is None or tensor.dtype != np.float32 or tensor.shape != shape:
            raise InvalidDataError(f"{name} should hold {shape} numbers in float32")
