"""The weights of a network in the layout of `torch_model.py.jinja`: that of PyTorch's own modules.

These multiply from the left, so the matrices are transposed. Their gates have charlm's order. They
have a second bias, `bias_hh`, which charlm does not need: it is zero.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from charlm.config.schema import ModelConfig
from charlm.files.untrusted import InvalidDataError

_OUTER = {"embedding": "embedding.weight", "W_hq": "output.weight", "b_q": "output.bias"}
_PARTS = {"W_xh": "weight_ih", "W_hh": "weight_hh", "b_h": "bias_ih"}
_SECOND_BIAS = "bias_hh"


def to_torch(config: ModelConfig, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a network by the names of PyTorch's modules, in their layout."""
    tensors = {}
    for own, name in _names(config).items():
        if own in weights:
            tensors[name] = _turned(own, weights[own])
            if own.endswith("b_h"):
                tensors[name.replace("bias_ih", _SECOND_BIAS)] = torch.zeros_like(weights[own])
    return tensors


def from_torch_layout(config: ModelConfig, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights by charlm's names from those of `to_torch`.

    A second bias that is not zero, because the model was trained further, is added to the first.
    Raises `InvalidDataError` if that of a GRU's candidate is not zero: charlm's GRU has none.
    """
    weights, rest = {}, dict(tensors)
    for own, name in _names(config).items():
        if name not in rest:
            continue
        tensor = rest.pop(name)
        if own.endswith("b_h"):
            second = rest.pop(name.replace("bias_ih", _SECOND_BIAS), torch.zeros(1))
            candidate = second[2 * config.hidden_size :]
            if config.cell == "gru" and candidate.any():
                raise InvalidDataError("a GRU with a second bias of its candidate")
            if second.any():
                tensor = tensor + second
        weights[own] = _turned(own, tensor)
    if unknown := next(iter(rest), ""):
        raise InvalidDataError(f"{unknown:.60} is not part of such a network")
    return weights


def _names(config: ModelConfig) -> dict[str, str]:
    """Return the names in PyTorch's modules by charlm's names."""
    names = dict(_OUTER)
    is_mogrifier = config.cell == "mogrifier"
    for layer in range(config.num_layers):
        for own, part in _PARTS.items():
            name = f"rnn.cells.{layer}.{part}" if is_mogrifier else f"rnn.{part}_l{layer}"
            names[f"layers.{layer}.{own}"] = name
        if is_mogrifier:
            names[f"layers.{layer}.W_xg"] = f"rnn.gates.{layer}.weight"
            names[f"layers.{layer}.b_g"] = f"rnn.gates.{layer}.bias"
    return names


def _turned(own: str, tensor: Tensor) -> Tensor:
    """Transpose a matrix that multiplies; the embedding is the same in both layouts."""
    is_matrix = tensor.ndim == 2 and own != "embedding"
    return (tensor.t() if is_matrix else tensor).contiguous()
