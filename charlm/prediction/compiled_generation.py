"""Generation in the compiled kernels: they choose a character, read it, and repeat.

The kernels do what `next_character.choose` and the model do step by step in Python, for the cells
that they support, in float32. The weights are packed once, and a character costs little more than
reading them.
"""

import ctypes
from typing import Any

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor
from torch.nn import functional as F

from charlm.config.schema import GenerationConfig
from charlm.kernels.calls import Call
from charlm.kernels.checks import check
from charlm.kernels.loading import address, lanes, loaded
from charlm.kernels.products import pack_columns, pack_gates, pad_gates, pad_units
from charlm.models.cells import Cell, State
from charlm.models.language_model import LanguageModel
from charlm.models.states import ModelState

_KINDS = {"lstm": 0, "gru": 1, "rnn_tanh": 2, "rnn_relu": 3}


class _Generator(ctypes.Structure):
    """`Generator` in generation.hpp."""

    _fields_ = (
        ("kind", ctypes.c_int64),
        ("num_layers", ctypes.c_int64),
        ("samples", ctypes.c_int64),
        ("vocabulary", ctypes.c_int64),
        ("threads", ctypes.c_int64),
        ("layers", ctypes.c_void_p),
        ("ids", ctypes.c_void_p),
        ("W_hq", ctypes.c_void_p),
        ("b_q", ctypes.c_void_p),
        ("logits", ctypes.c_void_p),
        ("temperature", ctypes.c_double),
        ("top_k", ctypes.c_int64),
        ("top_p", ctypes.c_double),
        ("min_p", ctypes.c_double),
        ("forbidden", ctypes.c_int64),
    )


def is_supported(model: LanguageModel) -> bool:
    """Return whether the kernels generate with a model: only the lowest layer may have a gate."""
    return model.is_compiled() and not any(cell.has_hidden_gate for cell in model.layers[1:])


class CompiledGenerator:
    """Samples that are generated side by side, and their state after the last characters."""

    def __init__(
        self,
        model: LanguageModel,
        logits: Float[Tensor, "samples vocabulary"],
        state: ModelState,
        config: GenerationConfig,
        forbidden: int | None,
    ) -> None:
        """Start with the `logits` of the first characters and the `state` before these are read."""
        _check(model, logits, state, forbidden)
        self._referenced: list[Any] = []  # the kernels see only addresses: keep these in memory
        samples, vocabulary = logits.shape
        ids = self._reference(torch.zeros(samples, dtype=torch.long))
        layers = [
            self._layer(cell, layer_state, ids, model.embedding, is_lowest=number == 0)
            for number, (cell, layer_state) in enumerate(zip(model.layers, state, strict=True))
        ]
        W_hq = model.output_weights
        missing = layers[0].hidden - len(W_hq)
        packed = pack_columns(F.pad(W_hq, (0, 0, 0, missing)), "float32")
        self._generator = _Generator(
            kind=_KINDS[model.layers[0].kernel.name],
            num_layers=len(layers),
            samples=samples,
            vocabulary=vocabulary,
            threads=torch.get_num_threads(),
            layers=ctypes.addressof(self._reference((Call * len(layers))(*layers))),
            ids=address(ids),
            W_hq=address(self._reference(packed)),
            b_q=address(self._reference(_contiguous_copy(model.b_q.detach()))),
            logits=address(self._reference(_contiguous_copy(logits))),
            temperature=0.0 if config.greedy else config.temperature,
            top_k=min(config.top_k or 0, vocabulary),
            top_p=config.top_p,
            min_p=config.min_p,
            forbidden=-1 if forbidden is None else forbidden,
        )

    def generate(
        self, uniforms: Float64[Tensor, "steps samples"]
    ) -> Int64[Tensor, "steps samples"]:
        """Choose characters by random numbers from [0, 1), and read them; return their ids.

        If a sample's logits are not finite, its id and all later ones are −1.
        """
        check("uniforms", uniforms, (None, self._generator.samples), (torch.float64,))
        uniforms = uniforms.contiguous()
        ids = torch.empty(uniforms.shape, dtype=torch.long)
        loaded().charlm_generate(
            ctypes.byref(self._generator), len(uniforms), address(uniforms), address(ids)
        )
        return ids

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
            first_hidden=address(self._reference(_contiguous_copy(hidden))),
            memory=None if both is None else address(self._reference(both)),
            gate=None if gate is None else address(self._reference(_contiguous_copy(gate))),
        )

    def _reference(self, value: Any) -> Any:
        self._referenced.append(value)
        return value


def _check(model: LanguageModel, logits: Tensor, state: ModelState, forbidden: int | None) -> None:
    """Check shapes, because the kernels receive only addresses; raises the error."""
    if not is_supported(model):
        raise ValueError("model: one that the kernels support was expected (is_supported)")
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


def _contiguous_copy(tensor: Tensor) -> Tensor:
    return tensor.clone(memory_format=torch.contiguous_format)
