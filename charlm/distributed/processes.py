"""Train one model in several processes: data-parallel, with PyTorch's DistributedDataParallel.

Each process reads its own columns of every batch, and DistributedDataParallel averages their
gradients (Li and others, "PyTorch Distributed", 2020); weights and optimizer are the same in all.
Sums over all processes, or the first process, make the decisions that must be the same in all.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from charlm.distributed.launch import Launch

Result = TypeVar("Result")


def portion(count: int, number: int, num_portions: int) -> range:
    """Return portion `number` of `count` columns, divided as equally as possible."""
    return range(number * count // num_portions, (number + 1) * count // num_portions)


class Processes:
    """The only process, which has all columns, files and decisions."""

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

        So the others find the files that the first one has written.
        """
        return work()

    def wait_for_all(self) -> None:
        """Wait until all processes have reached this call."""

    def share_gradients(self, model: nn.Module) -> nn.Module:
        """Return a module that computes a model's loss and gives all processes its gradients.

        It takes inputs, targets, the teachers' distributions or None, state and masks. It returns
        the loss to minimise, the cross-entropy of the targets (the same without teachers), and the
        new state.
        """
        return _Loss(model)

    @contextmanager
    def accumulating(self, module: nn.Module, is_last: bool) -> Iterator[float]:
        """Let `backward` add to the gradients; after the last group, add up those of all processes.

        Yields the factor for the loss of `module`.
        """
        yield 1.0


class SeveralProcesses(Processes):
    """One of several processes."""

    is_alone = False

    def __init__(self, launch: Launch, step_group: Any) -> None:
        """`step_group` is the process group for the steps, which has a shorter timeout."""
        super().__init__()
        self._launch, self._step_group = launch, step_group
        self.is_first = launch.rank == 0

    def _reset(self) -> None:
        super()._reset()
        self._seconds, self._should_stop = 0.0, False

    def clock(self) -> float:
        return self._seconds

    def should_stop(self) -> bool:
        return self._should_stop

    def agree(self, losses: Sequence[float] = ()) -> list[float]:
        seconds = self._clock() if self.is_first else 0.0
        *sums, self._seconds, num_stops = self._sums(
            [*losses, seconds, float(self._wants_to_stop())], self._step_group
        )
        self._should_stop = num_stops > 0
        return sums

    def share(self, size: int) -> range:
        return portion(size, self._launch.rank, self._launch.size)

    def sum(self, value: float) -> float:
        return self._sums([value])[0]

    def _sums(self, values: list[float], group: Any = None) -> list[float]:
        total = torch.tensor(values, dtype=torch.float64)
        torch.distributed.all_reduce(total, group=group)
        sums: list[float] = total.tolist()
        return sums

    def gather_rows(self, rows: Tensor, columns: range, size: int) -> Tensor:
        gathered = torch.zeros(size, *rows.shape[1:], dtype=rows.dtype)
        gathered[columns.start : columns.stop] = rows.cpu()
        # Each row is zero in all processes but one, so the sum is exact.
        torch.distributed.all_reduce(gathered)
        return gathered

    def run_on_first(self, work: Callable[[], Result]) -> Result:
        results: list[Any] = [work() if self.is_first else None]
        torch.distributed.broadcast_object_list(results)
        result: Result = results[0]
        return result

    def run_in_turn(self, work: Callable[[], Result]) -> Result:
        if self._launch.local_rank == 0:
            result = work()
            self.wait_for_all()
            return result
        self.wait_for_all()
        return work()

    def wait_for_all(self) -> None:
        torch.distributed.barrier()

    def share_gradients(self, model: nn.Module) -> nn.Module:
        shared = nn.parallel.DistributedDataParallel(_Loss(model), process_group=self._step_group)
        # After its first step, the module changes the order in which it adds gradients.
        # An extra step that changes nothing makes this order the same after a resume.
        was_training = model.training
        ids = torch.zeros(1, 1, dtype=torch.long, device=next(model.parameters()).device)
        loss, _, _ = shared.eval()(ids, ids, None, model.initial_state(1), None)  # type: ignore[operator]
        loss.backward()
        shared.zero_grad()
        model.train(was_training)
        return shared

    @contextmanager
    def accumulating(self, module: nn.Module, is_last: bool) -> Iterator[float]:
        with nullcontext() if is_last else module.no_sync():  # type: ignore[operator]
            yield self._launch.size  # DistributedDataParallel averages; a sum is required


class _Loss(nn.Module):
    """A module whose `forward` is the loss of a model, as DistributedDataParallel requires."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model

    def forward(
        self, inputs: Tensor, targets: Tensor, distributions: Tensor | None, state: Any, masks: Any
    ) -> tuple[Any, Any, Any]:
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
