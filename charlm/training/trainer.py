"""One step of truncated back-propagation through time, and the loop of steps."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from charlm.config.schema import TrainingConfig
from charlm.corpus.batches import Batch, Batches
from charlm.distributed.processes import Processes, portion
from charlm.environment.clock import seconds_awake
from charlm.errors import DivergenceError
from charlm.models.dropout import Masks
from charlm.models.language_model import LanguageModel, detach, join_columns, select_columns
from charlm.training.distillation import Teacher
from charlm.training.optimizer import (
    clip_gradients,
    follow,
    learning_rate,
    make_optimizer,
)


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


class Trainer:
    """Fits a model to batches; iterating takes steps until a limit of the config is reached.

    `clock` gives the seconds since the run began, which a time budget counts. Where `processes`
    train together, each has a trainer with its own columns of the batches, and all of them take the
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
        """Whose state it is, and of how many."""
        self.step = 0
        self.characters = 0
        self.seconds = 0.0
        self.learning_rate_scale = 1.0
        """Of the whole schedule; roll-backs lower it."""
        self._averages: list[Tensor] = []
        """Of the parameters, in their order; none before the first step, or if not wanted."""
        self._batch: Batch | None = None

    def progress(self) -> float:
        """Return how much of the run is done: the limit that is nearest, as a fraction."""
        config = self.config
        return max(
            self.batches.epochs / config.epochs if config.epochs else 0.0,
            self.step / config.steps if config.steps else 0.0,
            self.clock() / config.budget if config.budget else 0.0,
        )

    def __iter__(self) -> Iterator[StepReport]:
        """Take steps until the run is done, yielding a report after each."""
        while (progress := self.progress()) < 1.0:
            yield self.take_step(next(self.batches), progress)

    def take_step(self, batch: Batch, progress: float) -> StepReport:
        """Update the parameters once; raises `DivergenceError`, before any harm, if it cannot."""
        start = seconds_awake()
        rate = self.learning_rate_scale * learning_rate(self.config, self.step, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

        self._batch = batch
        self.model.train()
        self.optimizer.zero_grad()
        losses = self.processes.agree(self._differentiate(batch))
        norm = clip_gradients(self.model.parameters(), self.config.max_gradient_norm).item()
        self._check_finite(losses, norm)
        self.optimizer.step()
        if self.config.average:
            own = [parameter.detach() for parameter in self.model.parameters()]
            follow(self._averages, own, self.config.average, self.step)

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

    def _differentiate(self, batch: Batch) -> list[float]:
        """Give parameters the gradients of the mean loss over all places.

        Returns this process's part of the cross-entropy of what came, and, where there are
        teachers, of the loss that is minimised.
        Carries the state on, or begins anew. Columns are read in `accumulate` groups: gradients add
        up to those of the whole, and activations of one group alone are in memory.
        """
        inputs = batch.inputs.to(self.model.device)
        targets = batch.targets.to(inputs.device)
        taught = self.teacher.targets(batch) if self.teacher else None
        state = self.state if batch.continues else self.model.initial_state(inputs.shape[1])
        total, minimised, states = torch.zeros(()), torch.zeros(()), []
        number = max(1, min(self.config.accumulate, inputs.shape[1]))
        for k in range(number):
            group = portion(inputs.shape[1], k, number)
            of_batch = range(batch.first_column + group.start, batch.first_column + group.stop)
            masks = Masks([self.config.seed, self.step], batch.num_columns, of_batch)
            own = slice(group.start, group.stop)
            before = select_columns(state, own)
            share = len(group) / batch.num_columns
            with self.processes.gathering(self._loss, is_last=k == number - 1) as factor:
                of_group = None if taught is None else taught[:, own]
                mean, came, after = self._loss(
                    inputs[:, own], targets[:, own], of_group, before, masks
                )
                (mean * (factor * share)).backward()
            total = total + came * share
            if taught is not None:
                minimised = minimised + mean.detach() * share
            states.append(detach(after))
        self.state = join_columns(states)
        self._columns = range(batch.first_column, batch.first_column + inputs.shape[1])
        self._num_columns = batch.num_columns
        return [total.item()] if taught is None else [total.item(), minimised.item()]

    @torch.no_grad()
    def loss_again(self) -> float:
        """Return the cross-entropy of what came in the last step's batch, with the weights now.

        From a fresh state and without dropout, so that other weights may be compared.
        """
        assert self._batch is not None, "a step was taken"
        inputs = self._batch.inputs.to(self.model.device)
        targets = self._batch.targets.to(self.model.device)
        columns, own = inputs.shape[1], 0.0
        if columns > 0:  # there may be more processes than columns
            self.model.eval()
            loss, _ = self.model.loss(inputs, targets, self.model.initial_state(columns))
            own = loss.item() * columns / self._batch.num_columns
        return self.processes.sum(own)

    def _check_finite(self, losses: list[float], norm: float) -> None:
        for name, value in (*(("loss", loss) for loss in losses), ("gradient norm", norm)):
            if not math.isfinite(value):
                raise DivergenceError(f"step {self.step + 1}: the {name} is {value}")

    def weights(self) -> dict[str, Tensor]:
        """Return the weights to predict with: the averages, or the model's own without any."""
        if self._averages:
            names = [name for name, _ in self.model.named_parameters()]
            return dict(zip(names, self._averages, strict=True))
        return self.model.tensors()
