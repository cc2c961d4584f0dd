"""A model that writes on by itself in the compiled kernels: draws a character, reads it, and so on.

What `generator.choose` and the model do step by step in Python, for the cells that the kernels
know; the weights are packed once, and a character costs little more than reading them.
"""

import ctypes
from typing import Any

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor
from torch.nn import functional as F

from charlm.config.schema import GenerationConfig
from charlm.kernels.checks import check, check_precision
from charlm.kernels.loading import Precision, address, lanes, loaded
from charlm.kernels.products import pack_columns, pack_gates, pad_gates, pad_units
from charlm.kernels.recurrence import Call
from charlm.models.cells import Cell, State
from charlm.models.language_model import LanguageModel, ModelState

_KINDS = {"lstm": 0, "gru": 1, "rnn_tanh": 2, "rnn_relu": 3}


class _Writer(ctypes.Structure):
    """`Writer` in generation.hpp."""

    _fields_ = (
        *(
            (name, ctypes.c_int64)
            for name in ("kind", "bfloat16", "num_layers", "samples", "vocabulary", "threads")
        ),
        *((name, ctypes.c_void_p) for name in ("layers", "ids", "W_hq", "b_q", "logits")),
        ("temperature", ctypes.c_double),
        ("top_k", ctypes.c_int64),
        ("top_p", ctypes.c_double),
        ("min_p", ctypes.c_double),
        ("forbidden", ctypes.c_int64),
    )


def can_write(model: LanguageModel) -> bool:
    """Say whether the kernels write; not where a gate is of what they compute on the way."""
    return model.is_compiled() and not any(cell.has_hidden_gate for cell in model.layers[1:])


class Writer:
    """Samples side by side, in the state that their last character has left."""

    def __init__(
        self,
        model: LanguageModel,
        logits: Float[Tensor, "samples vocabulary"],
        state: ModelState,
        config: GenerationConfig,
        forbidden: int | None,
        precision: Precision,
    ) -> None:
        _check(model, logits, state, forbidden)
        check_precision(precision)
        self._precision = precision
        self._kept: list[Any] = []  # what the kernels see only by its address
        samples, vocabulary = logits.shape
        ids = self._keep(torch.zeros(samples, dtype=torch.long))
        layers = [
            self._layer(cell, model.embedding if number == 0 else None, number == 0, s, ids)
            for number, (cell, s) in enumerate(zip(model.layers, state, strict=True))
        ]
        W_hq = model.output_weights
        missing = layers[0].hidden - len(W_hq)
        self._writer = _Writer(
            _KINDS[model.layers[0].kernel.name],
            int(precision == "bfloat16"),
            len(layers),
            samples,
            vocabulary,
            torch.get_num_threads(),
            ctypes.addressof(self._keep((Call * len(layers))(*layers))),
            address(ids),
            address(self._keep(pack_columns(F.pad(W_hq, (0, 0, 0, missing)), precision))),
            address(self._keep(_in_one_piece(model.b_q.detach()))),
            address(self._keep(_in_one_piece(logits))),
            0.0 if config.greedy else config.temperature,
            min(config.top_k or 0, vocabulary),
            config.top_p,
            config.min_p,
            -1 if forbidden is None else forbidden,
        )

    def write(self, uniforms: Float64[Tensor, "steps samples"]) -> Int64[Tensor, "steps samples"]:
        """Draw characters by numbers from [0, 1), and read them; return their ids.

        An id is −1 where a sample's logits are not finite, and so is every later one of it.
        """
        check("uniforms", uniforms, (None, self._writer.samples), (torch.float64,))
        uniforms = uniforms.contiguous()
        drawn = torch.empty(uniforms.shape, dtype=torch.long)
        loaded().charlm_write(
            ctypes.byref(self._writer), len(uniforms), address(uniforms), address(drawn)
        )
        return drawn

    def _layer(
        self, cell: Cell, vectors: Tensor | None, looks_up: bool, state: State, ids: Tensor
    ) -> Call:
        kernel, samples = cell.kernel, len(ids)
        missing = -cell.hidden_size % lanes()
        hidden_size = cell.hidden_size + missing
        W_hh = pad_units(cell.W_hh, kernel.num_gates, missing)
        W_xh, gate = None, None
        if looks_up:
            rows, gate = cell.of_symbols(vectors)
            gate = None if gate is None else F.pad(gate, (0, missing))
        else:
            rows = cell.b_h.unsqueeze(0)
            W_xh = pad_units(cell.W_xh, kernel.num_gates, missing)
        input_size = 0 if W_xh is None else hidden_size
        hidden, *memory = (F.pad(tensor, (0, missing)) for tensor in state)
        dtype = getattr(torch, self._precision)
        operands = torch.zeros(2, samples, input_size + hidden_size, dtype=dtype)
        operands[0, :, input_size:] = hidden
        both = torch.stack([memory[0], memory[0]]) if memory else None
        return Call(
            1,
            samples,
            input_size,
            hidden_size,
            1,
            lookup=address(ids) if looks_up else None,
            rows=address(self._keep(pad_gates(rows, kernel.num_gates, missing).contiguous())),
            weights=address(self._keep(pack_gates(W_xh, W_hh, kernel.num_gates, self._precision))),
            operands=address(self._keep(operands)),
            outputs=address(self._keep(torch.zeros(samples, hidden_size))),
            first_hidden=address(self._keep(_in_one_piece(hidden))),
            memory=None if both is None else address(self._keep(both)),
            gate=None if gate is None else address(self._keep(_in_one_piece(gate))),
        )

    def _keep(self, value: Any) -> Any:
        self._kept.append(value)
        return value


def _check(model: LanguageModel, logits: Tensor, state: ModelState, forbidden: int | None) -> None:
    """Check shapes, because the kernels receive only addresses; raises the error."""
    if not can_write(model):
        raise ValueError("model: one that the kernels can write with was expected (can_write)")
    check("logits", logits, (None, model.vocabulary_size))
    if len(state) != len(model.layers):
        raise ValueError(f"state: {len(model.layers)} layers were expected, not {len(state)}")
    for cell, tensors in zip(model.layers, state, strict=True):
        if len(tensors) != cell.num_states:
            raise ValueError(f"state: {cell.num_states} tensors were expected a layer")
        for tensor in tensors:
            check("state", tensor, (len(logits), cell.hidden_size))
    if forbidden is not None and not 0 <= forbidden < model.vocabulary_size:
        raise IndexError(f"forbidden: outside of the {model.vocabulary_size} symbols")


def _in_one_piece(tensor: Tensor) -> Tensor:
    """Copy a tensor so that its numbers lie one after another."""
    return tensor.clone(memory_format=torch.contiguous_format)
