"""The interface to the processes that train one model, and its implementation for one process."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from torch import Tensor, nn

Result = TypeVar("Result")


def portion(count: int, number: int, num_portions: int) -> range:
    """Return portion `number` of `count` columns, divided as equally as possible."""
    return range(number * count // num_portions, (number + 1) * count // num_portions)


class Processes:
    """The only process, which reads all columns, writes the files and makes the decisions."""

    is_first, is_alone = True, True

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._clock: Callable[[], float] = lambda: 0.0
        self._wants_to_stop: Callable[[], bool] = lambda: False

    @contextmanager
    def watching(
        self, clock: Callable[[], float], wants_to_stop: Callable[[], bool]
    ) -> Iterator[None]:
        """Share inside the block the time, in seconds, and requests to stop.

        The arguments return the time of this process, and whether somebody asked it to stop.
        """
        self._clock, self._wants_to_stop = clock, wants_to_stop
        try:
            yield
        finally:
            self._reset()

    def clock(self) -> float:
        """Return the seconds that all processes agreed on."""
        return self._clock()

    def should_stop(self) -> bool:
        """Return whether somebody asked any process to stop."""
        return self._wants_to_stop()

    def agree(self, losses: Sequence[float] = ()) -> list[float]:
        """Return the sums of the losses of all processes; share the time and requests to stop."""
        return list(losses)

    def share(self, size: int) -> range:
        """Return which of `size` columns or streams belong to this process."""
        return range(size)

    def sum(self, value: float) -> float:
        """Return the sum of the values of all processes."""
        return value

    def gather_rows(self, rows: Tensor, columns: range, size: int) -> Tensor:
        """Return the rows of all `size` columns; `rows` are those of this process's `columns`."""
        return rows

    def run_on_first(self, work: Callable[[], Result]) -> Result:
        """Run `work` in the first process, and return its result in all."""
        return work()

    def run_in_turn(self, work: Callable[[], Result]) -> Result:
        """Run `work` in the first process of each machine, then in the others.

        The others find the files that the first one has written.
        """
        return work()

    def wait_for_all(self) -> None:
        """Wait until all processes have reached this call."""

    def share_gradients(self, model: nn.Module) -> nn.Module:
        """Return a `LossModule` of the model, or one that gives all processes its gradients."""
        return LossModule(model)

    @contextmanager
    def accumulating(self, module: nn.Module, is_last: bool) -> Iterator[float]:
        """Let `backward` add to the gradients; after the last group, add up those of all processes.

        Yields the factor for the loss of `module`.
        """
        yield 1.0


class LossModule(nn.Module):
    """Computes the loss of a model in `forward`, the method that DistributedDataParallel wraps."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model

    def forward(
        self, inputs: Tensor, targets: Tensor, distributions: Tensor | None, state: Any, masks: Any
    ) -> tuple[Any, Any, Any]:
        """Return the loss to minimise, the cross-entropy of the targets, and the new state.

        `distributions` are those of the teachers. Without them, both losses are the same.
        """
        if inputs.shape[1] == 0:  # there are more processes than columns
            zero: Any = sum(0.0 * parameter.sum() for parameter in self.parameters())
            return zero, zero.detach(), state
        if distributions is None:
            loss, state = self.model.loss(inputs, targets, state, masks)
            return loss, loss.detach(), state
        minimised, loss, state = self.model.distillation_loss(
            inputs, distributions, targets, state, masks
        )
        return minimised, loss, state
