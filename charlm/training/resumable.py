"""A trainer that can be saved and taken up again."""

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from charlm.corpus.batches import Position, SequentialBatches
from charlm.files.stored import Count, Finite, Seconds, checked
from charlm.files.untrusted import InvalidDataError
from charlm.models.language_model import AnyState, LanguageModel, detach, select_columns
from charlm.training.optimizer import state_shapes
from charlm.training.trainer import Trainer

_OWN = "weights."
"""Before the names of the model's own weights, where averages are what a checkpoint gives out."""


@dataclass(frozen=True)
class TrainerCounters:
    """How far a trainer is, as a checkpoint says it."""

    position: tuple[Count, Count]
    step: Count
    characters: Count
    seconds: Seconds
    learning_rate_scale: Annotated[Finite, Field(gt=0, le=1)] = 1.0  # older runs have none


class ResumableTrainer(Trainer):
    """A trainer of which everything that the next step depends on is in `tensors` and `counters`.

    One that restores them goes on as if nothing had happened.
    """

    def tensors(self) -> dict[str, Tensor]:
        """Return the optimiser's state, the carried state, and weights that `weights()` is not.

        Of all columns of all processes.
        """
        tensors = {}
        if self._averages:
            tensors = {f"{_OWN}{name}": own for name, own in self.model.tensors().items()}
        for number, values in self.optimizer.state_dict()["state"].items():
            for key, value in values.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{number}.{key}"] = value
        for reader, (_, state) in self._readers().items():
            for layer, layer_state in enumerate(detach(state)):
                for number, tensor in enumerate(layer_state):
                    whole = self.processes.join(tensor, self._columns, self._num_columns)
                    tensors[f"{reader}.{layer}.{number}"] = whole
        return tensors

    def _readers(self) -> dict[str, tuple[LanguageModel, AnyState]]:
        """Return all networks that read the text, and their states, by names in a checkpoint."""
        readers = {"state": (self.model, self.state)}
        if self.teacher is not None:
            taught = zip(self.teacher.networks, self.teacher.states, strict=True)
            readers |= {f"teacher-{number}": reader for number, reader in enumerate(taught)}
        return readers

    def counters(self) -> dict[str, Any]:
        """Return the position in the data and how far the run is."""
        return {
            "position": list(self.batches.position),
            "step": self.step,
            "characters": self.characters,
            "seconds": self.seconds,
            "learning_rate_scale": self.learning_rate_scale,
        }

    def restore(self, tensors: dict[str, Tensor], counters: dict[str, Any]) -> None:
        """Resume from the values of `tensors()` and `counters()`; the model has `weights()`.

        Raises `InvalidDataError` for values that do not fit such a trainer.
        """
        at = checked(TrainerCounters, counters)
        self.batches.restore(Position(*at.position))
        if sum(at.position) > at.step or self.batches.epochs >= at.position[0] + 1:
            raise InvalidDataError("the position in the data does not exist, or was never reached")
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        state = shapes.get("state.0.0")
        if not state or shapes != self._shapes(at.step, state[0]):
            raise InvalidDataError("other tensors than a trainer keeps")
        if any(tensor.dtype is not torch.float32 for tensor in tensors.values()):
            raise InvalidDataError("other numbers than a trainer keeps")
        self.step, self.characters, self.seconds = at.step, at.characters, at.seconds
        self.learning_rate_scale = at.learning_rate_scale
        self._averages = []
        own = {name.removeprefix(_OWN): tensors[name] for name in tensors if name.startswith(_OWN)}
        if own:
            self._averages = [parameter.detach().clone() for parameter in self.model.parameters()]
            self.model.load_state_dict(own)
        optimizer_state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, number, key = name.split(".")
                optimizer_state.setdefault(int(number), {})[key] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": optimizer_state, "param_groups": groups})
        states = [
            _state_in(tensors, reader, network) for reader, (network, _) in self._readers().items()
        ]
        self._num_columns = len(states[0][0][0])
        self._columns = self.processes.share(self._num_columns)
        own_columns = slice(self._columns.start, self._columns.stop)
        self.state, *taught = [select_columns(state, own_columns) for state in states]
        if self.teacher is not None:
            self.teacher.states = taught

    def _shapes(self, step: int, columns: int) -> dict[str, torch.Size]:
        """Return names and shapes of what `tensors()` gives after so many steps."""
        if step and isinstance(self.batches, SequentialBatches):
            columns = self.batches.batch_size  # which the next batch may continue
        shapes = {
            f"{reader}.{layer}.{number}": torch.Size([columns, cell.hidden_size])
            for reader, (network, _) in self._readers().items()
            for layer, cell in enumerate(network.layers)
            for number in range(cell.num_states)
        }
        if step:
            kept = state_shapes(self.optimizer)
            shapes |= {f"optimizer.{name}": shape for name, shape in kept.items()}
        if step and self.config.average:
            own = self.model.tensors()
            shapes |= {f"{_OWN}{name}": tensor.shape for name, tensor in own.items()}
        return shapes


def _state_in(tensors: dict[str, Tensor], reader: str, network: LanguageModel) -> AnyState:
    """Return the state of a reader among what `Trainer.tensors` returned."""
    return tuple(
        tuple(
            tensors[f"{reader}.{layer}.{number}"].to(network.device)
            for number in range(cell.num_states)
        )
        for layer, cell in enumerate(network.layers)
    )
