"""The state that a trainer's next step depends on, as a value to save and load."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from charlm.corpus.batch_iterator import Position
from charlm.models.states import AnyState


@dataclass(frozen=True)
class TrainerState:
    """Everything that the next step depends on, for all columns of all processes."""

    position: Position
    """The position of the next batch in the data."""
    step: int
    characters: int
    seconds: float
    learning_rate_scale: float
    states: Sequence[AnyState]
    """The recurrent states of `Trainer.networks`."""
    optimizer: Mapping[int, Mapping[str, Any]]
    """The optimiser's state of each parameter, by its number."""
    weights: Mapping[str, Tensor]
    """The weights in training if their averages are the weights to predict with; else empty."""
