"""A trainer's state in a checkpoint: tensors by name and counters as JSON, checked when read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from charlm.corpus.batch_iterator import Position
from charlm.corpus.batches import SequentialBatches
from charlm.files.untrusted import Count, Finite, InvalidDataError, Seconds, checked
from charlm.models.language_model import LanguageModel
from charlm.models.states import AnyState
from charlm.training.trainer import Trainer
from charlm.training.trainer_state import TrainerState

_WEIGHTS = "weights."
_OPTIMIZER = "optimizer."


@dataclass(frozen=True)
class SavedCounters:
    """The counters of a checkpoint, and the values that they may have."""

    position: tuple[Count, Count]
    step: Count
    characters: Count
    seconds: Seconds
    learning_rate_scale: Annotated[Finite, Field(gt=0, le=1)]


def counters_of(state: TrainerState) -> dict[str, Any]:
    """Return the counters of a state, as JSON."""
    return {
        "position": list(state.position),
        "step": state.step,
        "characters": state.characters,
        "seconds": state.seconds,
        "learning_rate_scale": state.learning_rate_scale,
    }


def tensors_of(state: TrainerState) -> dict[str, Tensor]:
    """Return the tensors of a state by name.

    `weights.*` are the weights in training, `optimizer.PARAMETER.*` is the optimiser's state of a
    parameter, `state.LAYER.*` the recurrent state of a layer, and `teacher-N.LAYER.*` that of a
    teacher's layer.
    """
    tensors = {f"{_WEIGHTS}{name}": tensor for name, tensor in state.weights.items()}
    for number, values in state.optimizer.items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{_OPTIMIZER}{number}.{key}"] = value
    for reader, network_state in zip(_readers(len(state.states)), state.states, strict=True):
        for layer, layer_state in enumerate(network_state):
            for number, tensor in enumerate(layer_state):
                tensors[f"{reader}.{layer}.{number}"] = tensor
    return tensors


def read_state(
    trainer: Trainer, tensors: Mapping[str, Tensor], counters: dict[str, Any]
) -> TrainerState:
    """Rebuild a state from the results of `tensors_of` and `counters_of`.

    Raises `InvalidDataError` for values that no state of such a trainer has.
    """
    counted = checked(SavedCounters, counters)
    position = Position(*counted.position)
    trainer.batches.restore(position)  # the number of batches differs between epochs
    if sum(position) > counted.step or trainer.epochs >= position.epoch + 1:
        raise InvalidDataError("the position in the data does not exist, or was never reached")
    _check_tensors(trainer, tensors, counted.step)

    optimizer: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(_OPTIMIZER):
            _, number, key = name.split(".")
            optimizer.setdefault(int(number), {})[key] = tensor
    networks = trainer.networks
    return TrainerState(
        position=position,
        step=counted.step,
        characters=counted.characters,
        seconds=counted.seconds,
        learning_rate_scale=counted.learning_rate_scale,
        states=[
            _recurrent_state(tensors, reader, network)
            for reader, network in zip(_readers(len(networks)), networks, strict=True)
        ],
        optimizer=optimizer,
        weights={n.removeprefix(_WEIGHTS): w for n, w in tensors.items() if n.startswith(_WEIGHTS)},
    )


def _readers(count: int) -> list[str]:
    """Return the names of the networks that read the text: of the model, then of the teachers."""
    return ["state", *(f"teacher-{number}" for number in range(count - 1))]


def _recurrent_state(
    tensors: Mapping[str, Tensor], reader: str, network: LanguageModel
) -> AnyState:
    return tuple(
        tuple(
            tensors[f"{reader}.{layer}.{number}"].to(network.device)
            for number in range(cell.num_states)
        )
        for layer, cell in enumerate(network.layers)
    )


def _check_tensors(trainer: Trainer, tensors: Mapping[str, Tensor], step: int) -> None:
    """Raise `InvalidDataError` unless these are the tensors of a trainer after `step` steps."""
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    state = shapes.get("state.0.0")
    if not state or shapes != _expected_shapes(trainer, step, state[0]):
        raise InvalidDataError("names or shapes of its tensors")
    if any(tensor.dtype is not torch.float32 for tensor in tensors.values()):
        raise InvalidDataError("type of its tensors")


def _expected_shapes(trainer: Trainer, step: int, columns: int) -> dict[str, torch.Size]:
    """Return names and shapes of a trainer's tensors after `step` steps."""
    if step and isinstance(trainer.batches, SequentialBatches):
        columns = trainer.batches.batch_size  # which the next batch may continue
    networks = trainer.networks
    shapes = {
        f"{reader}.{layer}.{number}": torch.Size([columns, cell.hidden_size])
        for reader, network in zip(_readers(len(networks)), networks, strict=True)
        for layer, cell in enumerate(network.layers)
        for number in range(cell.num_states)
    }
    if step:
        shapes |= _optimizer_shapes(trainer.optimizer)
    if step and trainer.config.average:
        weights = trainer.model.tensors()
        shapes |= {f"{_WEIGHTS}{name}": tensor.shape for name, tensor in weights.items()}
    return shapes


def _optimizer_shapes(optimizer: torch.optim.Optimizer) -> dict[str, torch.Size]:
    """Return names and shapes of an optimiser's state once it has taken a step."""
    shapes = {}
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for number, parameter in enumerate(parameters):
        name = f"{_OPTIMIZER}{number}"
        if isinstance(optimizer, torch.optim.AdamW):
            shapes[f"{name}.step"] = torch.Size([])
            shapes[f"{name}.exp_avg"] = shapes[f"{name}.exp_avg_sq"] = parameter.shape
        elif optimizer.defaults["momentum"]:
            shapes[f"{name}.momentum_buffer"] = parameter.shape
    return shapes
