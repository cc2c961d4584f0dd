"""One step of truncated back-propagation through time, and the loop of steps."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from charlm.config.schema import TrainingConfig
from charlm.corpus.batches import Batch, Batches, Position
from charlm.distributed.processes import Processes, portion
from charlm.environment.clock import seconds_awake
from charlm.errors import DivergenceError
from charlm.models.dropout import Masks
from charlm.models.language_model import (
    AnyState,
    LanguageModel,
    detach,
    join_columns,
    select_columns,
)
from charlm.training.distillation import Teacher
from charlm.training.optimizer import clip_gradients, follow, learning_rate, make_optimizer


class StepReport(NamedTuple):
    """What one step did."""

    step: int
    """Steps taken so far, this one included."""
    epoch: float
    """Epochs taken so far, in fractions."""
    seconds: float
    """Time spent in steps so far."""
    characters: int
    """Characters predicted in this step."""
    step_seconds: float
    """Time spent in this step."""
    loss: float
    """Mean cross-entropy on the text, in nats per character."""
    distillation_loss: float | None
    """Mean cross-entropy with the teachers' predictions and the text, which the step minimises.

    None without teachers: the step then minimises `loss`.
    """
    gradient_norm: float
    """Global L2 norm of the gradient before clipping."""
    learning_rate: float


@dataclass(frozen=True)
class TrainerState:
    """Everything that the next training step depends on, for all columns of all processes."""

    position: Position
    """Where the next batch is in the data."""
    step: int
    characters: int
    seconds: float
    learning_rate_scale: float
    states: Sequence[AnyState]
    """The recurrent states of the model and of the teachers."""
    optimizer: Mapping[int, Mapping[str, Any]]
    """What the optimizer keeps, by the number of the parameter."""
    weights: Mapping[str, Tensor]
    """The weights in training, if others predict: averages of them; else empty."""


class Trainer:
    """Fits a model to batches; iterating takes steps until a limit of the config is reached.

    The text is read in segments. A step computes the gradients within one segment and carries only
    the recurrent state on to the next (truncated back-propagation through time). A trainer that
    loads the `state_dict` of another one takes the same steps as that one would, bit for bit.

    `clock` gives the seconds since training began, which a time budget counts. Where `processes`
    train together, each has a trainer with its columns of the batches, and all of them take the
    same steps.
    """

    def __init__(
        self,
        model: LanguageModel,
        batches: Batches,
        config: TrainingConfig,
        clock: Callable[[], float],
        processes: Processes | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        self.model = model
        self.teacher = teacher
        self.batches = batches
        self.config = config
        self.clock = clock
        self.processes = processes or Processes()
        self.optimizer = make_optimizer(model, config)
        self._loss = self.processes.share_gradients(model)
        self.state = model.initial_state(1)
        self._columns, self._num_columns = range(1), 1
        """Which columns of the batch `state` belongs to, and how many the batch has."""
        self.step = 0
        self.characters = 0
        self.seconds = 0.0
        self.learning_rate_scale = 1.0
        """Factor on the whole schedule; rolling back lowers it."""
        self._averages: list[Tensor] = []
        """Averages of the parameters, in their order; empty before the first step, or without
        `average` in the config."""
        self._batch: Batch | None = None

    @property
    def networks(self) -> list[LanguageModel]:
        """All networks that read the text: the model, then the teachers."""
        return [self.model, *(self.teacher.networks if self.teacher else ())]

    def progress(self) -> float:
        """Return the fraction of training that is done, by the limit that is nearest."""
        config = self.config
        return max(
            self.batches.epochs / config.epochs if config.epochs else 0.0,
            self.step / config.steps if config.steps else 0.0,
            self.clock() / config.budget if config.budget else 0.0,
        )

    def __iter__(self) -> Iterator[StepReport]:
        """Take steps until a limit is reached, and yield the result of each."""
        while (progress := self.progress()) < 1.0:
            yield self.take_step(next(self.batches), progress)

    def take_step(self, batch: Batch, progress: float) -> StepReport:
        """Update the parameters once.

        Raises `DivergenceError`, before the update, if a loss or the gradient is not finite.
        """
        start = seconds_awake()
        rate = self.learning_rate_scale * learning_rate(self.config, self.step, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

        self._batch = batch
        self.model.train()
        self.optimizer.zero_grad()
        losses = self.processes.agree(self._propagate(batch))
        norm = clip_gradients(self.model.parameters(), self.config.max_gradient_norm).item()
        self._check_finite(losses, norm)
        self.optimizer.step()
        if self.config.average:
            weights = [parameter.detach() for parameter in self.model.parameters()]
            follow(self._averages, weights, self.config.average, self.step)

        self.step += 1
        self.characters += batch.num_predictions
        step_seconds = seconds_awake() - start
        self.seconds += step_seconds
        return StepReport(
            self.step,
            self.batches.epochs,
            self.seconds,
            batch.num_predictions,
            step_seconds,
            losses[0],
            losses[1] if self.teacher is not None else None,
            norm,
            rate,
        )

    def _propagate(self, batch: Batch) -> list[float]:
        """Propagate forward and back: compute gradients of the mean loss, and carry the state on.

        Return this process's share of the cross-entropy of the text and, with teachers, of the
        distillation loss, which is then minimised. Columns are read in `accumulate` groups: their
        gradients add up to those of the batch, and only one group's activations are in memory.
        """
        inputs = batch.inputs.to(self.model.device)
        targets = batch.targets.to(inputs.device)
        distributions = self.teacher.targets(batch) if self.teacher else None
        state = self.state if batch.continues else self.model.initial_state(inputs.shape[1])
        num_groups = max(1, min(self.config.accumulate, inputs.shape[1]))
        total, distillation_total, states = torch.zeros(()), torch.zeros(()), []
        for number in range(num_groups):
            group = portion(inputs.shape[1], number, num_groups)
            columns = slice(group.start, group.stop)
            of_batch = range(batch.first_column + group.start, batch.first_column + group.stop)
            masks = Masks([self.config.seed, self.step], batch.num_columns, of_batch)
            share = len(group) / batch.num_columns
            with self.processes.gathering(self._loss, number == num_groups - 1) as factor:
                loss, cross_entropy, new_state = self._loss(
                    inputs[:, columns],
                    targets[:, columns],
                    None if distributions is None else distributions[:, columns],
                    select_columns(state, columns),
                    masks,
                )
                (loss * (factor * share)).backward()
            total = total + cross_entropy * share
            if distributions is not None:
                distillation_total = distillation_total + loss.detach() * share
            states.append(detach(new_state))  # the next segment's gradients stop here
        self.state = join_columns(states)
        self._columns = range(batch.first_column, batch.first_column + inputs.shape[1])
        self._num_columns = batch.num_columns
        if distributions is None:
            return [total.item()]
        return [total.item(), distillation_total.item()]

    def _check_finite(self, losses: list[float], norm: float) -> None:
        for name, value in (*(("loss", loss) for loss in losses), ("gradient norm", norm)):
            if not math.isfinite(value):
                raise DivergenceError(f"step {self.step + 1}: the {name} is {value}")

    @torch.no_grad()
    def loss_again(self) -> float:
        """Return the cross-entropy of the last step's batch with the current weights.

        It starts from the initial state and without dropout, so that weights can be compared.
        """
        assert self._batch is not None, "a step was taken"
        inputs = self._batch.inputs.to(self.model.device)
        targets = self._batch.targets.to(self.model.device)
        columns, total = inputs.shape[1], 0.0
        if columns > 0:  # there may be more processes than columns
            self.model.eval()
            loss, _ = self.model.loss(inputs, targets, self.model.initial_state(columns))
            total = loss.item() * columns / self._batch.num_columns
        return self.processes.sum(total)

    def weights(self) -> dict[str, Tensor]:
        """Return the weights to predict with: the averages, or the model's without averaging."""
        if self._averages:
            names = [name for name, _ in self.model.named_parameters()]
            return dict(zip(names, self._averages, strict=True))
        return self.model.tensors()

    def state_dict(self) -> TrainerState:
        """Return everything that the next step depends on, except `weights()`."""
        return TrainerState(
            position=self.batches.position,
            step=self.step,
            characters=self.characters,
            seconds=self.seconds,
            learning_rate_scale=self.learning_rate_scale,
            states=[
                tuple(tuple(map(self._join, layer)) for layer in detach(state))
                for state in (self.state, *(self.teacher.states if self.teacher else ()))
            ],
            optimizer=self.optimizer.state_dict()["state"],
            weights=self.model.tensors() if self._averages else {},
        )

    def load_state_dict(self, saved: TrainerState) -> None:
        """Load what `state_dict` returned; the model already has the `weights()` of that time."""
        self.batches.restore(saved.position)
        self.step, self.characters, self.seconds = saved.step, saved.characters, saved.seconds
        self.learning_rate_scale = saved.learning_rate_scale
        self._num_columns = len(saved.states[0][0][0])
        self._columns = self.processes.share(self._num_columns)
        columns = slice(self._columns.start, self._columns.stop)
        self.state, *teacher_states = [select_columns(state, columns) for state in saved.states]
        if self.teacher is not None:
            self.teacher.states = teacher_states
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": saved.optimizer, "param_groups": groups})
        self._averages = []
        if saved.weights:
            self._averages = [parameter.detach().clone() for parameter in self.model.parameters()]
            self.model.load_state_dict(saved.weights)

    def _join(self, tensor: Tensor) -> Tensor:
        """Return the rows of all columns of a recurrent state, of which this process has some."""
        return self.processes.join(tensor, self._columns, self._num_columns)
