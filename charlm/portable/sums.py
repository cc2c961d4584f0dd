"""Check that no sum of products can pass 2^31, so that 32-bit integers and doubles hold it."""

from typing import Any

import numpy as np
from jaxtyping import Integer

from charlm.files.untrusted import InvalidDataError
from charlm.portable.network import (
    MAX_MEMORY,
    MAX_OPERAND,
    MAX_RELU_OPERAND,
    MAX_SUM,
    OPERAND_BITS,
    STATE_BITS,
    IntegerLayer,
    IntegerNetwork,
    IntegerOpening,
    Projection,
    SumsError,
    Weights,
)

NUM_GATES = {"rnn": 1, "relu": 1, "gru": 3, "lstm": 4, "mogrifier": 4}
_MAX_INPUT_BITS = 30
"""Largest bits of an embedding and the lowest layer's matrices, which no step multiplies."""
_MAX_WEIGHT_BITS = 11


def max_operand(cell: str) -> int:
    """Return the largest operand of a product with W_hh; other products' are no larger."""
    return {"relu": MAX_RELU_OPERAND, "mogrifier": MAX_OPERAND}.get(cell, 1 << OPERAND_BITS)


def fits(
    values: Integer[np.ndarray, "rows columns"],
    operand: int,
    rest: Integer[np.ndarray, " columns"],
) -> bool:
    """Return whether |rest| + Σ|w| · operand stays below 2^31 in each column."""
    largest = np.abs(values.astype(np.int64)).sum(0) * operand + np.abs(rest.astype(np.int64))
    return bool((largest <= MAX_SUM).all())


def check_network(network: IntegerNetwork) -> None:
    """Raise `InvalidDataError` unless shapes, bits and sums are those of an integer network."""
    if network.cell not in NUM_GATES or not network.layers:
        raise InvalidDataError("the network has no known cell")
    size, hidden = len(network.vocabulary), network.hidden_size
    gates, operand = NUM_GATES[network.cell] * hidden, max_operand(network.cell)
    _check_shape(network.W_hq, (hidden, size))
    _check_shape(network.b_q, (size,))
    _check_sum_bits(network.logit_bits, network.operand_bits)
    sums = [(network.W_hq, network.b_q)]
    width = size
    if network.embedding is not None:
        width = network.embedding.values.shape[-1]
        _check_shape(network.embedding.values, (size, width))
        _check_input_bits(network.embedding)
    for layer in network.layers:
        _check_shape(layer.W_hh, (hidden, gates))
        _check_projection(layer.inputs, network, width, gates)
        if (layer.gate is not None) != (network.cell == "mogrifier"):
            raise InvalidDataError("a mogrifier, and no other cell, has a gate of its state")
        if layer.gate is not None:
            _check_projection(layer.gate, network, width, hidden)
        width = hidden
    boundary = network.boundary
    if boundary is not None and not (type(boundary) is int and 0 <= boundary < size):
        raise InvalidDataError("the boundary is not an id of the vocabulary")
    for opening in network.openings:
        _check_opening(network, opening)
    lowest, *higher = network.layers
    for rows, weights in ((network.rows, lowest.W_hh), (network.gate_rows, None)):
        if rows is not None:
            none = np.zeros((0, rows.shape[1]), np.int16)
            sums.append((none if weights is None else weights, np.abs(rows).max(0)))
    for layer in higher:
        _check_same_bits(layer, network.operand_bits)
        sums.append((np.concatenate([layer.W_hh, layer.inputs.W.values]), layer.inputs.b))
        if layer.gate is not None:
            sums.append((layer.gate.W.values, layer.gate.b))
    if not all(fits(weights, operand, rest) for weights, rest in sums):
        raise SumsError


def _check_projection(
    projection: Projection, network: IntegerNetwork, rows: int, columns: int
) -> None:
    _check_shape(projection.W.values, (rows, columns))
    _check_shape(projection.b, (columns,))
    _check_input_bits(projection.W)
    _check_sum_bits(projection.bits, network.operand_bits)


def _check_opening(network: IntegerNetwork, opening: IntegerOpening) -> None:
    largest = MAX_RELU_OPERAND if network.cell == "relu" else 1 << STATE_BITS
    for array, limit in ((opening.hidden, largest), (opening.memory, MAX_MEMORY)):
        _check_shape(array, (len(network.layers), network.hidden_size), np.int32)
        if np.abs(array.astype(np.int64)).max() > limit:
            raise InvalidDataError("the state of an opening is too large")
    if type(opening.symbol) is not int or not 0 <= opening.symbol < len(network.vocabulary):
        raise InvalidDataError("an opening has an unknown symbol")


def _check_same_bits(layer: IntegerLayer, operand_bits: int) -> None:
    """Check that the products of a higher layer have the bits of its sums."""
    for projection in (layer.inputs, layer.gate):
        if projection is not None and projection.W.bits + operand_bits != projection.bits:
            raise InvalidDataError("the bits of a layer's weights and sums differ")


def _check_shape(
    array: Integer[np.ndarray, "..."],
    shape: tuple[int, ...],
    kind: type[np.signedinteger[Any]] | None = None,
) -> None:
    """Raise `InvalidDataError` for another shape or type; the default is that of weights."""
    kind = kind or (np.int16 if len(shape) == 2 else np.int32)
    if array.shape != shape or array.dtype != kind or not array.size:
        raise InvalidDataError(f"{shape} numbers in {kind.__name__} were expected")


def _check_input_bits(weights: Weights) -> None:
    if not -_MAX_INPUT_BITS <= weights.bits <= _MAX_INPUT_BITS:
        raise InvalidDataError("a number of bits is out of range")


def _check_sum_bits(bits: int, operand_bits: int) -> None:
    """Check that the weights that are multiplied by operands have bits of this format."""
    if not 0 <= bits - operand_bits <= _MAX_WEIGHT_BITS:
        raise InvalidDataError("a number of bits is out of range")
