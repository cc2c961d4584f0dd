"""The integer network: a trained network whose weights are rounded to integers.

A whole number n with k bits stands for n · 2^−k. The numbers of a step, and their bits:

| number | bits | range |
|---|---|---|
| operand of a product: a hidden state | 12 (ReLU: 9) | ±2^13 (ReLU: below 2^15) |
| weight | chosen for each matrix, at most 11 | below ±2^15 |
| sum of products, input and bias | those of operand and weight | below ±2^31 |
| hidden state between steps (not ReLU) | 15 | ±2^15 |
| memory C of an LSTM | 16 | ±2^30 |

The bits of a layer's weights are as many as keep the largest possible sum of a column below 2^31.
So sums are exact in 32-bit integers and in doubles, in any order, on any machine.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int16, Int32, Int64

from charlm.corpus.vocabulary import Vocabulary
from charlm.files.untrusted import InvalidDataError

STATE_BITS = 15
MEMORY_BITS = 16
MAX_MEMORY = 1 << 30
OPERAND_BITS = 12
MAX_OPERAND = 1 << 13
"""A hidden state is at most 1, and a mogrifier's gate at most 2."""
RELU_OPERAND_BITS = 9
MAX_RELU_OPERAND = (1 << 15) - 1
"""Larger hidden states of a ReLU network, which have no bound, are cut off here."""
MAX_SUM = (1 << 31) - 1
MAX_ROW_NUMBERS = 1 << 28
"""Largest table of all symbols' sums: a small forged file takes no more than 1 GB."""
_PIECE_NUMBERS = 1 << 20

Matrix = Int16[np.ndarray, "rows columns"]
Bias = Int32[np.ndarray, " columns"]
Rows = Int32[np.ndarray, "symbols columns"]
Units = Int32[np.ndarray, "layers units"]


class SumsError(InvalidDataError):
    """A sum of a network can pass 2^31."""

    def __init__(self) -> None:
        super().__init__("a sum of the network can pass 2^31")


@dataclass(frozen=True)
class Weights:
    """A matrix of integers, and their bits."""

    values: Matrix
    bits: int


@dataclass(frozen=True)
class Projection:
    """An affine map of the layer's input to the sums of gates: W_x· and b·."""

    W: Weights
    b: Bias
    bits: int
    """Bits of the sums, and of b."""

    def of_symbols(self, embedding: Weights | None) -> Rows:
        """Return each symbol's projection; without an embedding, of its one-hot vector.

        Raises `SumsError`, or `InvalidDataError` if there are too many.
        """
        vectors = self.W.values if embedding is None else embedding.values
        surplus = self.W.bits - self.bits + (0 if embedding is None else embedding.bits)
        rows = np.empty((len(vectors), len(self.b)), np.int32)
        if rows.size > MAX_ROW_NUMBERS:
            raise InvalidDataError("the network is too large for a vocabulary of this size")
        # Doubles hold the sums exactly, because they stay below 2^53, and do not wrap around.
        W = self.W.values.astype(np.float64)
        piece = max(1, _PIECE_NUMBERS // rows.shape[1])
        for begin in range(0, len(rows), piece):
            some = vectors[begin : begin + piece].astype(np.float64)
            sums = np.ldexp(some if embedding is None else some @ W, -surplus)
            sums = np.floor(sums + 0.5) + self.b
            if np.abs(sums).max() > MAX_SUM:
                raise SumsError
            rows[begin : begin + piece] = sums
        return rows


@dataclass(frozen=True)
class IntegerLayer:
    """A recurrent layer. W_hh, and in a higher layer W_xh, have the bits of sum − operand."""

    inputs: Projection
    W_hh: Matrix
    gate: Projection | None = None
    """Projection to the hidden state's gate in a mogrifier."""


@dataclass(frozen=True)
class IntegerOpening:
    """A state at the end of a passage of the training text, and the last symbol of the passage.

    Text without a prefix begins there.
    """

    symbol: int
    hidden: Units
    memory: Units


@dataclass(frozen=True)
class IntegerNetwork:
    """All that predictions need: the layers, the softmax layer and the vocabulary."""

    cell: str
    """rnn, relu, gru, lstm or mogrifier."""
    vocabulary: Vocabulary
    embedding: Weights | None
    layers: tuple[IntegerLayer, ...]
    W_hq: Matrix
    b_q: Bias
    logit_bits: int
    """Bits of the logits, and of b_q."""
    openings: tuple[IntegerOpening, ...] = ()
    boundary: int | None = None
    """The id that ends a record: the state begins anew before it is read."""

    @property
    def hidden_size(self) -> int:
        return len(self.W_hq)

    @property
    def operand_bits(self) -> int:
        return RELU_OPERAND_BITS if self.cell == "relu" else OPERAND_BITS

    @cached_property
    def rows(self) -> Rows:
        """Each symbol's sums of gates in the lowest layer."""
        return self.layers[0].inputs.of_symbols(self.embedding)

    @cached_property
    def gate_rows(self) -> Rows | None:
        """Each symbol's sums of the hidden state's gate in the lowest layer."""
        gate = self.layers[0].gate
        return None if gate is None else gate.of_symbols(self.embedding)


def shifted(numbers: Int64[np.ndarray, "..."], bits: int) -> Int64[np.ndarray, "..."]:
    """Divide by 2^bits and round to the nearest integer, halves up; multiply for negative bits."""
    if bits <= 0:
        return numbers << -bits
    return (numbers + (1 << bits - 1)) >> bits
