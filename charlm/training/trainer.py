"""One step of truncated back-propagation through time, and the loop of steps.

`textbook_loop` takes the same steps in the book's terms, without what only a real run needs.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from charlm.config.schema import TrainingConfig
from charlm.corpus.batch_iterator import Batch
from charlm.corpus.batches import Batches
from charlm.distributed.processes import Processes, portion
from charlm.environment.clock import seconds_awake
from charlm.errors import DivergenceError
from charlm.kernels.threads import only_kernels_share
from charlm.models.dropout import Masks
from charlm.models.language_model import LanguageModel
from charlm.models.states import detach, join_columns, select_columns
from charlm.training.distillation import Teacher
from charlm.training.optimizer import clip_gradients, learning_rate, make_optimizer
from charlm.training.step_result import StepResult
from charlm.training.trainer_state import TrainerState
from charlm.training.weight_averages import WeightAverages

SHARED_UPDATE_PARAMETERS = 1 << 20
"""Parameters from which PyTorch's threads share their update; below, waking them takes as long as
they save, and beside another program each of PyTorch's operations waits for the slowest thread."""


class Trainer:
    """Fits a model to batches; iterating takes steps until a limit of the config is reached.

    The text is read in segments. A step computes gradients within its segment only, and carries
    just the recurrent state to the next one: truncated back-propagation through time. A trainer
    that loads the `state_dict` of another one takes the same steps, bit for bit.
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
        """`clock` returns the seconds since training began, which a time budget counts.

        Each of several `processes` has a trainer for its columns of the batches. All of them take
        the same steps.
        """
        self.model = model
        self.teacher = teacher
        self.batches = batches
        self.config = config
        self.clock = clock
        self.budget = config.budget
        """Seconds that training may take; `TimeBudget` keeps some for the rest of the command."""
        self.processes = processes or Processes()
        self.optimizer = make_optimizer(model, config)
        self._loss = self.processes.share_gradients(model)
        self.state = model.initial_state(1)
        self._columns, self._num_columns = range(1), 1
        """The columns of the batch that `state` belongs to, and how many the batch has."""
        self.step = 0
        self.characters = 0
        self.seconds = 0.0
        self.learning_rate_scale = 1.0
        """Factor on the whole schedule; each rollback lowers it."""
        self._averages = WeightAverages(model, config.average)
        self._is_small = model.num_parameters < SHARED_UPDATE_PARAMETERS
        self._batch: Batch | None = None

    @property
    def networks(self) -> list[LanguageModel]:
        """All networks that read the next batch: the model, then the teachers."""
        teacher = self._reading_teacher
        return [self.model, *(teacher.networks if teacher else ())]

    @property
    def _reading_teacher(self) -> Teacher | None:
        """The teacher, if its networks read the next batch."""
        epoch, teacher = self.batches.position.epoch, self.teacher
        return teacher if teacher and teacher.reads_batches(epoch) else None

    @property
    def may_vary_threads(self) -> bool:
        """Whether no bit of a step depends on the number of threads: the kernels do all products.

        The equations and PyTorch's kernels sum in an order that depends on it.
        """
        teachers = self.teacher.networks if self.teacher else []
        return all(network.is_compiled() for network in (self.model, *teachers))

    @property
    def epochs(self) -> float:
        """Epochs taken so far, in fractions."""
        return self.batches.epochs

    def progress(self) -> float:
        """Return how much of the training is done, as a fraction of the nearest limit."""
        config = self.config
        return max(
            self.epochs / config.epochs if config.epochs else 0.0,
            self.step / config.steps if config.steps else 0.0,
            self.clock() / self.budget if self.budget else 0.0,
        )

    def __iter__(self) -> Iterator[StepResult]:
        """Take steps until a limit is reached, and yield the result of each."""
        while (progress := self.progress()) < 1.0:
            yield self.take_step(next(self.batches), progress)

    def take_step(self, batch: Batch, progress: float) -> StepResult:
        """Update the parameters once: forward, loss, backward; clip the gradient; step.

        Raises `DivergenceError`, before the update, if a loss or the gradient is not finite.
        """
        start = seconds_awake()
        rate = self.learning_rate_scale * learning_rate(self.config, self.step, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

        self._batch = batch
        self.model.train()
        self.optimizer.zero_grad()
        with only_kernels_share(self.may_vary_threads):
            losses = self.processes.agree(self._forward_and_backward(batch))
            norm = clip_gradients(self.model.parameters(), self.config.max_gradient_norm).item()
            self._check_finite(losses, norm)
        # Element by element, so no bit depends on the number of threads.
        with only_kernels_share(self.may_vary_threads and self._is_small):
            self.optimizer.step()
            self._averages.update(self.step)

        self.step += 1
        self.characters += batch.num_predictions
        step_seconds = seconds_awake() - start
        self.seconds += step_seconds
        return StepResult(
            step=self.step,
            epoch=self.epochs,
            seconds=self.seconds,
            characters=batch.num_predictions,
            step_seconds=step_seconds,
            loss=losses[0],
            distillation_loss=losses[1] if self.teacher is not None else None,
            gradient_norm=norm,
            learning_rate=rate,
        )

    def _forward_and_backward(self, batch: Batch) -> list[float]:
        """Compute the gradients of the mean loss, and carry the recurrent state to the next batch.

        Returns this process's share of the cross-entropy of the text and, with teachers, of the
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
            batch_columns = range(batch.first_column + group.start, batch.first_column + group.stop)
            masks = Masks([self.config.seed, self.step], batch.num_columns, batch_columns)
            share = len(group) / batch.num_columns
            with self.processes.accumulating(self._loss, number == num_groups - 1) as factor:
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
            states.append(detach(new_state))  # the gradients of the next segment end here
        self.state = join_columns(states)
        self._columns = range(batch.first_column, batch.first_column + inputs.shape[1])
        self._num_columns = batch.num_columns
        if distributions is None:
            return [total.item()]
        return [total.item(), distillation_total.item()]

    def _check_finite(self, losses: Sequence[float], norm: float) -> None:
        values = [*(("loss", loss) for loss in losses), ("gradient norm", norm)]
        for name, value in values:
            if not math.isfinite(value):
                raise DivergenceError(f"step {self.step + 1}: the {name} is {value}")

    @torch.no_grad()
    def loss_again(self) -> float:
        """Return the cross-entropy of the last step's batch with the current weights.

        It starts from the initial state and uses no dropout, so that weights can be compared.
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
        return self._averages.weights()

    def state_dict(self) -> TrainerState:
        """Return everything that the next step depends on, except `weights()`."""
        teacher = self._reading_teacher
        return TrainerState(
            position=self.batches.position,
            step=self.step,
            characters=self.characters,
            seconds=self.seconds,
            learning_rate_scale=self.learning_rate_scale,
            states=[
                tuple(tuple(map(self._join, layer)) for layer in detach(state))
                for state in (self.state, *(teacher.states if teacher else ()))
            ],
            optimizer=self.optimizer.state_dict()["state"],
            weights=self._averages.weights_in_training(),
        )

    def load_state_dict(self, saved: TrainerState) -> None:
        """Load a value of `state_dict`; the model already has the `weights()` of that time."""
        self.batches.restore(saved.position)
        self.step, self.characters, self.seconds = saved.step, saved.characters, saved.seconds
        self.learning_rate_scale = saved.learning_rate_scale
        self._num_columns = len(saved.states[0][0][0])
        self._columns = self.processes.share(self._num_columns)
        columns = slice(self._columns.start, self._columns.stop)
        self.state, *teacher_states = [select_columns(state, columns) for state in saved.states]
        if teacher := self._reading_teacher:
            teacher.states = teacher_states
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": saved.optimizer, "param_groups": groups})
        self._averages.load(saved.weights)

    def _join(self, tensor: Tensor) -> Tensor:
        """Return the rows of all columns of the batch; this process has those of its columns."""
        return self.processes.gather_rows(tensor, self._columns, self._num_columns)
