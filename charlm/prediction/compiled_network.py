"""A network as the kernels generate with it: its weights, packed once, and its samples' state."""

import ctypes
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from charlm.kernels.calls import Call
from charlm.kernels.checks import check
from charlm.kernels.loading import address, lanes
from charlm.kernels.packing import pack_columns, pack_gates, pad_gates, pad_units
from charlm.models.cells import Cell, State
from charlm.models.language_model import LanguageModel
from charlm.models.states import AnyState, ModelState

_KINDS = {"lstm": 0, "gru": 1, "rnn_tanh": 2, "rnn_relu": 3}


class NetworkStructure(ctypes.Structure):
    """`Network` in generation.hpp."""

    _fields_ = (
        ("kind", ctypes.c_int64),
        ("num_layers", ctypes.c_int64),
        ("boundary", ctypes.c_int64),
        ("layers", ctypes.c_void_p),
        ("W_hq", ctypes.c_void_p),
        ("b_q", ctypes.c_void_p),
        ("logits", ctypes.c_void_p),
    )


def is_network_supported(model: LanguageModel) -> bool:
    """Return whether the kernels generate with it: only the lowest layer may have a gate."""
    return model.is_compiled() and not any(cell.has_hidden_gate for cell in model.layers[1:])


class CompiledNetwork:
    """A network with packed weights, and the state of its samples; `structure` has the addresses.

    The kernels read `ids`, write `logits` and change the state, of which this has a copy.
    """

    @torch.no_grad()  # threads that record graphs of the same weights can wait for one another
    def __init__(
        self,
        model: LanguageModel,
        state: ModelState,
        ids: Int64[Tensor, " samples"],
        logits: Float[Tensor, "samples vocabulary"],
    ) -> None:
        _check(model, state, len(ids))
        self._referenced: list[Any] = [ids, logits]  # the kernels see only addresses: keep these
        self._states: list[list[list[Tensor]]] = []
        self._hidden_sizes = [cell.hidden_size for cell in model.layers]
        layers = [
            self._layer(cell, layer_state, ids, model.embedding, is_lowest=number == 0)
            for number, (cell, layer_state) in enumerate(zip(model.layers, state, strict=True))
        ]
        W_hq = model.output_weights
        missing = layers[0].hidden - len(W_hq)
        packed = pack_columns(F.pad(W_hq, (0, 0, 0, missing)), "float32")
        self.structure = NetworkStructure(
            kind=_KINDS[model.layers[0].kernel.name],
            num_layers=len(layers),
            boundary=-1 if model.boundary is None else model.boundary,
            layers=ctypes.addressof(self._reference((Call * len(layers))(*layers))),
            W_hq=address(self._reference(packed)),
            b_q=address(self._reference(contiguous_copy(model.b_q.detach()))),
            logits=address(logits),
        )

    def restart(self, columns: Int64[Tensor, " columns"], state: AnyState) -> None:
        """Give some samples another state."""
        for layer, layer_state in zip(self._states, state, strict=True):
            for copies, tensor in zip(layer, layer_state, strict=True):
                for copy in copies:
                    copy[columns, : tensor.shape[1]] = tensor

    def state(self, columns: Int64[Tensor, " columns"]) -> AnyState:
        """Return the state of some samples after their last characters."""
        return tuple(
            tuple(copies[-1][columns, :size] for copies in layer)
            for layer, size in zip(self._states, self._hidden_sizes, strict=True)
        )

    def _layer(
        self, cell: Cell, state: State, ids: Tensor, embedding: Tensor | None, is_lowest: bool
    ) -> Call:
        """Describe a layer for the kernels; the lowest looks up `ids`, the others read outputs."""
        num_gates, samples = cell.kernel.num_gates, len(ids)
        missing = -cell.hidden_size % lanes()
        hidden_size = cell.hidden_size + missing
        W_hh = pad_units(cell.W_hh, num_gates, missing)
        W_xh, gate = None, None
        if is_lowest:
            rows, gate = cell.project_symbols(embedding)
            gate = None if gate is None else F.pad(gate, (0, missing))
        else:
            rows = cell.b_h.unsqueeze(0)
            W_xh = pad_units(cell.W_xh, num_gates, missing)
        input_size = 0 if W_xh is None else hidden_size
        hidden, *memory = (F.pad(tensor, (0, missing)) for tensor in state)
        operands = torch.zeros(2, samples, input_size + hidden_size)
        operands[0, :, input_size:] = hidden
        both = torch.stack([memory[0], memory[0]]) if memory else None
        first_hidden = contiguous_copy(hidden)
        copies = [[operands[0, :, input_size:], first_hidden]]
        self._states.append([*copies, [both[0]]] if both is not None else copies)
        return Call(
            1,
            samples,
            input_size,
            hidden_size,
            1,
            lookup=address(ids) if is_lowest else None,
            rows=address(self._reference(pad_gates(rows, num_gates, missing).contiguous())),
            weights=address(self._reference(pack_gates(W_xh, W_hh, num_gates, "float32"))),
            operands=address(self._reference(operands)),
            outputs=address(self._reference(torch.zeros(samples, hidden_size))),
            first_hidden=address(self._reference(first_hidden)),
            memory=None if both is None else address(self._reference(both)),
            gate=None if gate is None else address(self._reference(contiguous_copy(gate))),
        )

    def _reference(self, value: Any) -> Any:
        self._referenced.append(value)
        return value


def _check(model: LanguageModel, state: ModelState, samples: int) -> None:
    """Check shapes, because the kernels receive only addresses; raises the error."""
    if not is_network_supported(model):
        raise ValueError("model: one that the kernels support was expected (is_supported)")
    if len(state) != len(model.layers):
        raise ValueError(f"state: {len(model.layers)} layers were expected, not {len(state)}")
    for cell, tensors in zip(model.layers, state, strict=True):
        if len(tensors) != cell.num_states:
            raise ValueError(f"state: {cell.num_states} tensors were expected a layer")
        for tensor in tensors:
            check("state", tensor, (samples, cell.hidden_size))


def contiguous_copy(tensor: Tensor) -> Tensor:
    """Return a copy that the kernels may change, in the order of its dimensions."""
    return tensor.clone(memory_format=torch.contiguous_format)
