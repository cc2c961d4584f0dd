"""Run an integer network in the compiled kernels (`charlm/kernels/integers.hpp`)."""

import ctypes

import numpy as np
from jaxtyping import Integer

from charlm.corpus.vocabulary import Symbols
from charlm.kernels.compiler import library
from charlm.kernels.functions import declared
from charlm.portable.frequencies import LOG2_E, Frequencies, uniform_frequencies
from charlm.portable.network import IntegerLayer, IntegerNetwork, IntegerOpening
from charlm.portable.range_coder import NoCharacterError, RangeDecoder
from charlm.portable.steps import Alphabet, Intervals, NumpySteps, Steps
from charlm.portable.tables import power_table, sigmoid_table, tanh_table

_CELLS = {"rnn": 0, "relu": 1, "gru": 2, "lstm": 3, "mogrifier": 3}
"""Numbers of the cells in integers.hpp."""
_PIECE_SYMBOLS = 1000
"""Symbols of a call: between calls, Ctrl-C is noticed."""


def steps_of(network: IntegerNetwork, sharpness: int = LOG2_E) -> Steps:
    """Return the state of a network before the first symbol, in the kernels where they run.

    `sharpness` is that of `frequencies_of`.
    """
    kernels = library()
    if kernels is None:
        return NumpySteps(network, sharpness)
    return CompiledSteps(network, kernels, sharpness)


class CompiledSteps(Steps):
    """The state of an integer network; `read` gives the same numbers as that of `NumpySteps`."""

    def __init__(
        self, network: IntegerNetwork, kernels: ctypes.CDLL, sharpness: int = LOG2_E
    ) -> None:
        self._kernels = declared(kernels)
        self._arrays: list[np.ndarray] = []
        """All arrays whose addresses the kernels have."""
        size = network.hidden_size
        self._hidden, self._memory = np.zeros((2, len(network.layers), size), np.int64)
        layers = [
            self._layer(*all_of)
            for all_of in zip(network.layers, self._hidden, self._memory, strict=True)
        ]
        self._layers = (_Layer * len(layers))(*layers)
        self._network = _Network(
            *(_CELLS[network.cell], size, len(network.vocabulary), len(layers)),
            *(network.operand_bits, network.logit_bits),
            -1 if network.boundary is None else network.boundary,
            sharpness,
            self._address(network.rows, np.int32),
            self._address(network.gate_rows, np.int32),
            ctypes.cast(self._layers, ctypes.c_void_p),
            self._address(network.W_hq.T, np.int16),
            self._address(network.b_q, np.int32),
            *(self._address(t(), np.int64) for t in (sigmoid_table, tanh_table, power_table)),
            *(self._address(np.zeros(size, np.int16), np.int16) for _ in range(2)),
            self._address(np.zeros(8 * size, np.int64), np.int64),
        )
        self._frequencies = uniform_frequencies(len(network.vocabulary))
        self._size = len(network.vocabulary)

    @property
    def frequencies(self) -> Frequencies:
        return self._frequencies

    def begin(self, opening: IntegerOpening) -> None:
        self._hidden[:], self._memory[:] = opening.hidden, opening.memory
        self.read(np.array([opening.symbol]))

    def read(self, symbols: Integer[np.ndarray, " length"]) -> Intervals:
        ids = np.ascontiguousarray(symbols, np.int64)
        if ids.size and not 0 <= ids.min() <= ids.max() < self._size:
            raise ValueError(f"ids from 0 to {self._size - 1} were expected")
        begins, sizes = np.empty_like(ids), np.empty_like(ids)
        frequencies = self._own_frequencies()
        for begin in range(0, len(ids), _PIECE_SYMBOLS):
            arrays = [array[begin : begin + _PIECE_SYMBOLS] for array in (ids, begins, sizes)]
            first, *intervals = (ctypes.c_void_p(array.ctypes.data) for array in arrays)
            length = ctypes.c_int64(len(arrays[0]))
            self._kernels.charlm_read_integers(
                ctypes.byref(self._network), first, length, *intervals, frequencies
            )
        return begins, sizes

    def decode(
        self, data: bytes, count: int, alphabet: Alphabet, unknown_id: int | None
    ) -> Symbols:
        if len(alphabet) != self._size:
            raise ValueError(f"an alphabet of {self._size} ids was expected")
        start, frequencies = RangeDecoder(data), self._own_frequencies()
        decoder = _Decoder(data, len(data), start.place, start.code, start.range)
        alphabet = np.ascontiguousarray(alphabet, np.uint32)
        unknown = -1 if unknown_id is None else unknown_id
        decoded = np.empty(count, np.uint32)
        for begin in range(0, count, _PIECE_SYMBOLS):
            piece = decoded[begin : begin + _PIECE_SYMBOLS]
            found = self._kernels.charlm_decode_integers(
                *(ctypes.byref(self._network), ctypes.byref(decoder)),
                *(alphabet.ctypes.data, unknown, piece.ctypes.data, len(piece), frequencies),
            )
            if found < len(piece):
                raise NoCharacterError
        return decoded

    def _own_frequencies(self) -> ctypes.c_void_p:
        """Return the address of the frequencies, in a copy: a caller may keep those that it got."""
        self._frequencies = self._frequencies.copy()
        return ctypes.c_void_p(self._frequencies.ctypes.data)

    def _layer(self, layer: IntegerLayer, hidden: np.ndarray, memory: np.ndarray) -> "_Layer":
        inputs, gate = layer.inputs, layer.gate
        return _Layer(
            self._address(layer.W_hh.T, np.int16),
            self._address(inputs.W.values.T, np.int16),
            self._address(None if gate is None else gate.W.values.T, np.int16),
            self._address(inputs.b, np.int32),
            self._address(None if gate is None else gate.b, np.int32),
            *(inputs.bits, 0 if gate is None else gate.bits),
            *(hidden.ctypes.data, memory.ctypes.data),
        )

    def _address(self, array: Integer[np.ndarray, "..."] | None, kind: type) -> int | None:
        """Return the address of a contiguous array of this type, which lives as long as this."""
        if array is None:
            return None
        self._arrays.append(np.ascontiguousarray(array, kind))
        return int(self._arrays[-1].ctypes.data)


class _Layer(ctypes.Structure):
    """`IntegerLayer` in integers.hpp."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("W_hh", "W_xh", "W_xg", "b_h", "b_g")),
        *((name, ctypes.c_int64) for name in ("sum_bits", "gate_bits")),
        *((name, ctypes.c_void_p) for name in ("hidden", "memory")),
    )


class _Decoder(ctypes.Structure):
    """`RangeDecoder` in range_decoder.hpp."""

    _fields_ = (
        ("data", ctypes.c_char_p),
        *((name, ctypes.c_int64) for name in ("size", "place")),
        *((name, ctypes.c_uint64) for name in ("code", "range")),
    )


class _Network(ctypes.Structure):
    """`IntegerNetwork` in integers.hpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("cell", "hidden_size", "vocabulary", "num_layers")),
        *((name, ctypes.c_int64) for name in ("operand_bits", "logit_bits")),
        *((name, ctypes.c_int64) for name in ("boundary", "sharpness")),
        *(
            (name, ctypes.c_void_p)
            for name in (
                *("rows", "gate_rows", "layers", "W_hq", "b_q", "sigmoid", "tanh", "power"),
                *("operand", "below", "sums"),
            )
        ),
    )
