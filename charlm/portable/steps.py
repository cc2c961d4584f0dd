"""Run an integer network step by step in numpy."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from jaxtyping import Float64, Int64, Integer

from charlm.corpus.vocabulary import Symbols
from charlm.portable.frequencies import (
    LOG2_E,
    Frequencies,
    frequencies_of,
    uniform_frequencies,
)
from charlm.portable.network import (
    MAX_MEMORY,
    MAX_RELU_OPERAND,
    MEMORY_BITS,
    STATE_BITS,
    IntegerLayer,
    IntegerNetwork,
    IntegerOpening,
    shifted,
)
from charlm.portable.range_coder import RangeDecoder
from charlm.portable.tables import HALF, STEP_BITS, VALUE_BITS, Table, sigmoid_table, tanh_table

Units = Int64[np.ndarray, " units"]
Sums = Int64[np.ndarray, " sums"]
"""Sums of all gates of a layer, side by side, or of a gate of the hidden state."""
_ONE = 1 << VALUE_BITS


Intervals = tuple[Int64[np.ndarray, " length"], Int64[np.ndarray, " length"]]
"""Begin and size of each symbol's interval among 2^24, as predicted before the symbol."""
Alphabet = Integer[np.ndarray, " vocabulary"]
"""The symbol of each id."""


class Steps(ABC):
    """An integer network and its state."""

    @property
    @abstractmethod
    def frequencies(self) -> Frequencies:
        """The prediction of the next symbol: frequencies that sum to 2^24."""

    @abstractmethod
    def begin(self, opening: IntegerOpening) -> None:
        """Set the state to that of an opening, and read its symbol."""

    @abstractmethod
    def read(self, symbols: Integer[np.ndarray, " length"]) -> Intervals:
        """Advance the state by symbols; return the interval that each had."""

    @abstractmethod
    def decode(
        self, data: bytes, count: int, alphabet: Alphabet, unknown_id: int | None
    ) -> Symbols:
        """Return the next symbols that a range coder wrote, and advance the state by them.

        After `unknown_id`, a code point is read. Raises `NoCharacterError` if Unicode does not have
        it; then the state is undefined.
        """


class NumpySteps(Steps):
    """The state of an integer network, in numpy."""

    def __init__(self, network: IntegerNetwork, sharpness: int = LOG2_E) -> None:
        self._network, self._sharpness = network, sharpness
        self._layers = [_Layer(network, layer) for layer in network.layers]
        self._output = network.W_hq.astype(np.float64)
        self._frequencies = uniform_frequencies(len(network.vocabulary))

    def begin(self, opening: IntegerOpening) -> None:
        for layer, hidden, memory in zip(self._layers, opening.hidden, opening.memory, strict=True):
            layer.hidden, layer.memory = hidden.astype(np.int64), memory.astype(np.int64)
        self._read_symbol(opening.symbol)

    @property
    def frequencies(self) -> Frequencies:
        return self._frequencies

    def read(self, symbols: Integer[np.ndarray, " length"]) -> Intervals:
        begins, sizes = np.empty((2, len(symbols)), np.int64)
        for place, symbol in enumerate(symbols.tolist()):
            begins[place] = self._frequencies[:symbol].sum()
            sizes[place] = self._frequencies[symbol]
            self._read_symbol(symbol)
        return begins, sizes

    def decode(
        self, data: bytes, count: int, alphabet: Alphabet, unknown_id: int | None
    ) -> Symbols:
        decoder, decoded = RangeDecoder(data), np.empty(count, np.uint32)
        for place in range(count):
            ends = np.cumsum(self._frequencies)
            symbol = int(ends.searchsorted(decoder.target(), "right"))
            size = int(self._frequencies[symbol])
            decoder.decode(int(ends[symbol]) - size, size)
            decoded[place] = decoder.code_point() if symbol == unknown_id else alphabet[symbol]
            self._read_symbol(symbol)
        return decoded

    def _read_symbol(self, symbol: int) -> None:
        network = self._network
        if symbol == network.boundary:
            for layer in self._layers:
                layer.hidden, layer.memory = (
                    np.zeros_like(layer.hidden),
                    np.zeros_like(layer.memory),
                )
        rows, gates = network.rows[symbol].astype(np.int64), network.gate_rows
        lowest, *higher = self._layers
        operand = lowest.step(rows, None if gates is None else gates[symbol].astype(np.int64))
        for layer in higher:
            operand = layer.step_above(operand)
        logits = _product(operand, self._output) + network.b_q
        self._frequencies = frequencies_of(logits, network.logit_bits, self._sharpness)


class _Layer:
    """One layer's weights as doubles, which multiply integers below 2^53 exactly, and its state."""

    def __init__(self, network: IntegerNetwork, layer: IntegerLayer) -> None:
        self._layer = layer
        self._operand_bits = network.operand_bits
        self._W_hh = layer.W_hh.astype(np.float64)
        self._W_xh = layer.inputs.W.values.astype(np.float64)
        self._W_xg = None if layer.gate is None else layer.gate.W.values.astype(np.float64)
        self.hidden = np.zeros(network.hidden_size, np.int64)
        self.memory = np.zeros(network.hidden_size, np.int64)
        self._cell: Callable[[Sums, Sums], Units] = getattr(
            self, f"_{network.cell.replace('mogrifier', 'lstm')}"
        )

    def step_above(self, operand: Float64[np.ndarray, " units"]) -> Float64[np.ndarray, " units"]:
        """Advance a higher layer, by the hidden state of the layer below."""
        inputs, gate = self._layer.inputs, self._layer.gate
        sums = _product(operand, self._W_xh) + inputs.b
        if gate is None or self._W_xg is None:
            return self.step(sums, None)
        return self.step(sums, _product(operand, self._W_xg) + gate.b)

    def step(self, inputs: Sums, gate: Units | None) -> Float64[np.ndarray, " units"]:
        """Advance the state by the sums of the input; return the new operand."""
        self.hidden = self._cell(inputs, _product(self._operand(gate), self._W_hh))
        return self._operand(None)

    def _operand(self, gate: Units | None) -> Float64[np.ndarray, " units"]:
        if self._layer.gate is not None and gate is not None:
            factors = self._looked_up(sigmoid_table(), gate, self._layer.gate.bits)
            # The gate is 2σ, so its values have one bit fewer than σ's.
            surplus = STATE_BITS + VALUE_BITS - 1 - self._operand_bits
            return shifted(self.hidden * factors, surplus).astype(np.float64)
        if self._cell == self._relu:
            return self.hidden.astype(np.float64)
        return shifted(self.hidden, STATE_BITS - self._operand_bits).astype(np.float64)

    def _looked_up(
        self, table: Table, sums: Int64[np.ndarray, "..."], bits: int
    ) -> Int64[np.ndarray, "..."]:
        """Return the values of a table at the sums, rounded to its steps."""
        rows = shifted(sums, bits - STEP_BITS) + HALF
        values: Int64[np.ndarray, ...] = table[np.clip(rows, 0, 2 * HALF - 1)]
        return values

    def _sums_looked_up(
        self, table: Table, sums: Int64[np.ndarray, "..."]
    ) -> Int64[np.ndarray, "..."]:
        return self._looked_up(table, sums, self._layer.inputs.bits)

    def _rnn(self, inputs: Sums, recurrent: Sums) -> Units:
        return self._sums_looked_up(tanh_table(), inputs + recurrent)

    def _relu(self, inputs: Sums, recurrent: Sums) -> Units:
        surplus = self._layer.inputs.bits - self._operand_bits
        hidden: Units = np.clip(shifted(inputs + recurrent, surplus), 0, MAX_RELU_OPERAND)
        return hidden

    def _gru(self, inputs: Sums, recurrent: Sums) -> Units:
        size = len(self.hidden)
        gates = inputs[: 2 * size] + recurrent[: 2 * size]
        R, Z = self._sums_looked_up(sigmoid_table(), gates).reshape(2, size)
        from_state = shifted(R * recurrent[2 * size :], VALUE_BITS)
        candidate = self._sums_looked_up(tanh_table(), inputs[2 * size :] + from_state)
        return shifted(Z * self.hidden + (_ONE - Z) * candidate, VALUE_BITS)

    def _lstm(self, inputs: Sums, recurrent: Sums) -> Units:
        size = len(self.hidden)
        sums = (inputs + recurrent).reshape(4, size)
        I, F, O = self._sums_looked_up(sigmoid_table(), sums[[0, 1, 3]])  # noqa: E741 - the book's
        candidate = self._sums_looked_up(tanh_table(), sums[2])
        surplus = VALUE_BITS - MEMORY_BITS  # from the bits of I · C̃ to those of F · C
        memory = shifted(F * self.memory + shifted(I * candidate, surplus), VALUE_BITS)
        self.memory = np.clip(memory, -MAX_MEMORY, MAX_MEMORY)
        squashed = self._looked_up(tanh_table(), self.memory, MEMORY_BITS)
        return shifted(O * squashed, VALUE_BITS)


def _product(
    operand: Float64[np.ndarray, " rows"], matrix: Float64[np.ndarray, "rows columns"]
) -> Int64[np.ndarray, " columns"]:
    product: Int64[np.ndarray, " columns"] = (operand @ matrix).astype(np.int64)
    return product
