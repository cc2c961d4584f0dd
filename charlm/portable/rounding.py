"""Round a trained network's weights to an `IntegerNetwork`.

A weight is multiplied by a power of two and rounded to the nearest integer. Both are exact in
doubles, so every machine makes the same integer network of the same checkpoint.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import frexp

import numpy as np
from jaxtyping import Float, Float64, Int64

from charlm.config.schema import ModelConfig
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import CharlmError
from charlm.portable.network import (
    MAX_MEMORY,
    MAX_OPERAND,
    MAX_RELU_OPERAND,
    MAX_SUM,
    MEMORY_BITS,
    OPERAND_BITS,
    RELU_OPERAND_BITS,
    STATE_BITS,
    IntegerLayer,
    IntegerNetwork,
    IntegerOpening,
    Projection,
    SumsError,
    Weights,
)
from charlm.portable.sums import fits, max_operand

_MAX_WEIGHT = (1 << 15) - 1
_MAX_WEIGHT_BITS = 11
_MAX_INPUT_BITS = 15
"""Largest bits of the embedding and the lowest input matrix, which no step multiplies."""

Parameters = Mapping[str, Float64[np.ndarray, "..."]]


def rounded_network(
    config: ModelConfig,
    vocabulary: Vocabulary,
    weights: Mapping[str, Float[np.ndarray, "..."]],
    openings: tuple[IntegerOpening, ...] = (),
    boundary: int | None = None,
) -> IntegerNetwork:
    """Round the weights of a network, by their names in a checkpoint.

    Raises `CharlmError` for weights that are not finite, or too large for sums below 2^31.
    """
    exact = {name: weight.astype(np.float64) for name, weight in weights.items()}
    if not all(np.isfinite(weight).all() for weight in exact.values()):
        raise CharlmError("the network's weights are not finite; use another checkpoint of the run")
    cell = "relu" if (config.cell, config.nonlinearity) == ("rnn", "relu") else config.cell
    embedding = _alone(exact["embedding"]) if "embedding" in exact else None
    layers = []
    for number in range(config.num_layers):
        prefix = f"layers.{number}."
        parameters = {n.removeprefix(prefix): w for n, w in exact.items() if n.startswith(prefix)}
        layers.append(_layer(cell, parameters, embedding, is_lowest=number == 0))
    W_hq = exact["embedding"].T if config.tie_weights else exact["W_hq"]
    operand_bits, operand = _operand_bits(cell), max_operand(cell)
    for bits in _weight_bits(W_hq):
        output, bias = _integers(W_hq, bits), _integers(exact["b_q"], bits + operand_bits)
        if fits(output, operand, bias):
            return IntegerNetwork(
                cell=cell,
                vocabulary=vocabulary,
                embedding=embedding,
                layers=tuple(layers),
                W_hq=np.ascontiguousarray(output, np.int16),
                b_q=bias.astype(np.int32),
                logit_bits=bits + operand_bits,
                openings=openings,
                boundary=boundary,
            )
    raise _too_large()


def rounded_opening(
    cell: str, symbol: int, states: Sequence[Sequence[Float[np.ndarray, " units"]]]
) -> IntegerOpening:
    """Round the states of the layers, each H or H and C, before the last symbol of a passage."""
    hidden_bits = RELU_OPERAND_BITS if cell == "relu" else STATE_BITS
    hidden = [_integers(state[0].astype(np.float64), hidden_bits) for state in states]
    memory = [_integers(state[-1].astype(np.float64), MEMORY_BITS) for state in states]
    largest = MAX_RELU_OPERAND if cell == "relu" else 1 << STATE_BITS
    return IntegerOpening(
        symbol,
        np.clip(np.stack(hidden), -largest, largest).astype(np.int32),
        np.clip(np.stack(memory), -MAX_MEMORY, MAX_MEMORY).astype(np.int32),
    )


def _layer(
    cell: str, parameters: Parameters, embedding: Weights | None, *, is_lowest: bool
) -> IntegerLayer:
    W_xh, W_hh, b_h = (parameters[name] for name in ("W_xh", "W_hh", "b_h"))
    gate = None
    if cell == "mogrifier":
        gate = _projection(parameters["W_xg"], parameters["b_g"], embedding, is_lowest)
    for bits in _weight_bits(W_hh, *([] if is_lowest else [W_xh])):
        sum_bits = bits + _operand_bits(cell)
        recurrent, bias = _integers(W_hh, bits), _integers(b_h, sum_bits)
        if np.abs(bias).max() > MAX_SUM:
            continue
        if is_lowest:
            inputs = Projection(_alone(W_xh), bias.astype(np.int32), sum_bits)
            products, rest = recurrent, _largest_sums(inputs, embedding)
            if rest is None:
                continue
        else:
            from_below = _integers(W_xh, bits)
            weights = Weights(from_below.astype(np.int16), bits)
            inputs = Projection(weights, bias.astype(np.int32), sum_bits)
            products, rest = np.concatenate([recurrent, from_below]), bias
        if fits(products, max_operand(cell), rest):
            return IntegerLayer(inputs, recurrent.astype(np.int16), gate)
    raise _too_large()


def _projection(
    W: Float64[np.ndarray, "rows columns"],
    b: Float64[np.ndarray, " columns"],
    embedding: Weights | None,
    is_lowest: bool,
) -> Projection:
    """Round a projection that no recurrent product is added to."""
    for bits in _weight_bits(W):
        sum_bits = bits + OPERAND_BITS
        bias = _integers(b, sum_bits)
        if np.abs(bias).max() > MAX_SUM:
            continue
        if is_lowest:
            projection = Projection(_alone(W), bias.astype(np.int32), sum_bits)
            if _largest_sums(projection, embedding) is not None:
                return projection
        elif fits(values := _integers(W, bits), MAX_OPERAND, bias):
            return Projection(
                Weights(values.astype(np.int16), bits), bias.astype(np.int32), sum_bits
            )
    raise _too_large()


def _largest_sums(
    projection: Projection, embedding: Weights | None
) -> Int64[np.ndarray, " columns"] | None:
    """Return the largest magnitude in each column of the symbols' sums; None: one is too large."""
    try:
        largest: Int64[np.ndarray, " columns"] = np.abs(projection.of_symbols(embedding)).max(0)
    except SumsError:
        return None
    return largest.astype(np.int64)


def _operand_bits(cell: str) -> int:
    return RELU_OPERAND_BITS if cell == "relu" else OPERAND_BITS


def _integers(numbers: Float64[np.ndarray, "..."], bits: int) -> Int64[np.ndarray, "..."]:
    rounded = np.rint(np.ldexp(numbers, bits)).clip(-(2.0**52), 2.0**52)
    integers: Int64[np.ndarray, ...] = rounded.astype(np.int64)
    return integers


def _weight_bits(*matrices: Float64[np.ndarray, "rows columns"]) -> Iterator[int]:
    """Yield the numbers of bits with which all weights fit 16-bit integers, largest first."""
    largest = max(float(np.abs(matrix).max()) for matrix in matrices)
    for bits in range(_MAX_WEIGHT_BITS, -1, -1):
        if np.rint(np.ldexp(largest, bits)) <= _MAX_WEIGHT:
            yield bits


def _alone(matrix: Float64[np.ndarray, "rows columns"]) -> Weights:
    """Round a matrix with as many bits as its largest weight allows."""
    _, exponent = frexp(float(np.abs(matrix).max()))
    bits = min(_MAX_INPUT_BITS, 14 - exponent)
    return Weights(_integers(matrix, bits).astype(np.int16), bits)


def _too_large() -> CharlmError:
    return CharlmError(
        "the network's weights are too large to be rounded to integers; use another checkpoint"
    )
