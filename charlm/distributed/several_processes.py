"""Train one model in several processes: data-parallel, with PyTorch's DistributedDataParallel.

Each process reads its own columns of every batch, and DistributedDataParallel averages their
gradients (Li and others, "PyTorch Distributed", 2020); weights and optimiser are the same in all.
Sums over all processes, or the first process, make the decisions that must be the same in all.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from charlm.distributed.launch import Launch
from charlm.distributed.processes import LossModule, Processes, Result, portion


class SeveralProcesses(Processes):
    """One of several processes, which reads its own columns of every batch."""

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
        shared = nn.parallel.DistributedDataParallel(
            LossModule(model), process_group=self._step_group
        )
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
