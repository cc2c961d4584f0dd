"""States of a language model: detach them, and divide and join their columns."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

ModelState = tuple[tuple[Float[Tensor, "batch _"], ...], ...]
"""The state of each layer, the lowest first."""
AnyState = tuple[tuple[Tensor, ...], ...]
"""The state of each layer, for any number of columns."""


def detach(state: ModelState) -> ModelState:
    """Detach a state from the graph: back-propagation through time stops at this step."""
    return tuple(tuple(tensor.detach() for tensor in layer_state) for layer_state in state)


def select_columns(state: ModelState, columns: slice) -> AnyState:
    """Return the state of some columns."""
    return tuple(tuple(tensor[columns] for tensor in layer_state) for layer_state in state)


def join_columns(states: Sequence[AnyState]) -> AnyState:
    """Concatenate states along their columns."""
    if len(states) == 1:
        return states[0]
    layers = zip(*states, strict=True)
    return tuple(tuple(map(torch.cat, zip(*layer, strict=True))) for layer in layers)
