"""The units of a network: the numbers in its states, and their values after each character."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from charlm.models.cells.cell import reset
from charlm.models.language_model import LanguageModel
from charlm.models.states import ModelState


class Unit(NamedTuple):
    """A number in the state of a network."""

    layer: int
    """From 1 on, the lowest first."""
    state: str
    """`H` for the hidden state, `C` for the memory."""
    number: int
    """From 1 on."""

    def __str__(self) -> str:
        return f"{self.state}{self.number} of layer {self.layer}"


def units_of(network: LanguageModel) -> tuple[Unit, ...]:
    """Return the units: H of the lowest layer, its C if it has one, H of the next, and so on."""
    return tuple(
        Unit(layer, state, number)
        for layer, cell in enumerate(network.layers, 1)
        for state in "HC"[: cell.num_states]
        for number in range(1, cell.hidden_size + 1)
    )


def read_units(
    network: LanguageModel, inputs: Int64[Tensor, "time batch"], state: ModelState
) -> tuple[Float[Tensor, "time batch units"], ModelState]:
    """Read characters; return all units after each, and the last state.

    The compiled kernels keep only the last C, so the cells' equations compute all, without dropout.
    A model of records forgets all before a boundary.
    """
    steps = []
    for ids in inputs:
        if network.boundary is not None:
            state = tuple(reset(layer, ids == network.boundary) for layer in state)
        vectors = _vectors(network, ids)
        new_state = []
        for layer, layer_state in zip(network.layers, state, strict=True):
            new_state.append(layer.step(vectors, layer_state))
            vectors = new_state[-1][0]
        state = tuple(new_state)
        steps.append(torch.cat([tensor for layer in state for tensor in layer], dim=1))
    return torch.stack(steps), state


def _vectors(network: LanguageModel, ids: Int64[Tensor, " batch"]) -> Float[Tensor, "batch input"]:
    """Return the input of the lowest layer: embedded, or one-hot, vectors."""
    if network.embedding is not None:
        return F.embedding(ids, network.embedding)
    return F.one_hot(ids, network.vocabulary_size).to(network.b_q.dtype)
