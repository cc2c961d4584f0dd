"""Several processes that train one model: data-parallel, by PyTorch's own engine.

`torchrun` starts them. Each reads its own columns of every batch, and DistributedDataParallel takes
the mean of their gradients (Li and others, "PyTorch Distributed", 2020); weights and optimiser are
alike in all. What must be decided together is decided by sums over all processes, or by the first.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import timedelta
from itertools import count
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from charlm.distributed.launch import Launch, launched
from charlm.errors import CharlmError, DivergenceError, ProcessError

_PATIENCE = timedelta(hours=2)
"""How long one may work alone while the others wait: to build a corpus, or to score one row."""
_PATIENCE_IN_STEPS = timedelta(minutes=15)
"""How long one may be late with its part of a step, and with what the first does between two: to
report, sample and save. Of a machine that has vanished no word comes,
and its system has taken what was sent to it: silence is all that the others notice."""
_LEAVE = timedelta(minutes=1)
"""How long one waits at the end for the others to be done, too."""
_OF_GLOO = re.compile(r"\[\S*\bgloo/\S+:\d+\] ")
"""Where PyTorch's engine says that an error is of the connection to another process."""

Result = TypeVar("Result")


def portion(count: int, number: int, of: int) -> range:
    """Return portion `number` of `count` columns, cut into `of` portions as equal as can be."""
    return range(number * count // of, (number + 1) * count // of)


class Processes:
    """A process alone, to which all columns, files and decisions belong."""

    def __init__(self) -> None:
        self.is_first, self.is_alone = True, True
        self._clock: Callable[[], float] = lambda: 0.0
        self._wants_to_stop: Callable[[], bool] = lambda: False

    def watch(self, clock: Callable[[], float], wants_to_stop: Callable[[], bool]) -> None:
        """Say what tells this process the time, in seconds, and whether it was asked to stop."""
        self._clock, self._wants_to_stop = clock, wants_to_stop

    def clock(self) -> float:
        """Return the seconds that all go by."""
        return self._clock()

    def stops(self) -> bool:
        """Say whether any process was asked to stop."""
        return self._wants_to_stop()

    def agree(self, losses: Sequence[float] = ()) -> list[float]:
        """Return the sums of the processes' losses; agree on the time, and on whether to stop."""
        return list(losses)

    def share(self, size: int) -> range:
        """Return which of so many columns or rows are this process's."""
        return range(size)

    def sum(self, value: float) -> float:
        """Return the sum of the processes' values."""
        return value

    def join(self, mine: Tensor, columns: range, size: int) -> Tensor:
        """Return the rows of all `size` columns, of which each process has its `columns`."""
        return mine

    def of_first(self, work: Callable[[], Result]) -> Result:
        """Return to all what `work` gives the first process, which alone does it."""
        return work()

    def in_turn(self, work: Callable[[], Result]) -> Result:
        """Let the first of each machine work before the others, which find what it has left."""
        return work()

    def share_gradients(self, model: nn.Module) -> nn.Module:
        """Return a module that computes a model's loss and gives all processes its gradients.

        It takes inputs, targets, the teachers' distributions or None, state and masks. It returns
        the loss to minimise, the cross-entropy of the targets (the same without teachers), and the
        new state.
        """
        return _Loss(model)

    @contextmanager
    def gathering(self, module: nn.Module, is_last: bool) -> Iterator[float]:
        """Let `backward` add to the gradients; after the last group, give them to all processes.

        Yields what to multiply the loss of `module` with.
        """
        yield 1.0


class _Several(Processes):
    """One of several processes."""

    def __init__(self, launch: Launch, steps: Any) -> None:
        """`steps` is the group in which they meet at each step, and are late for a shorter time."""
        super().__init__()
        self._launch, self._steps = launch, steps
        self.is_first, self.is_alone = launch.rank == 0, False
        self._seconds, self._stops = 0.0, False

    def clock(self) -> float:
        return self._seconds

    def stops(self) -> bool:
        return self._stops

    def agree(self, losses: Sequence[float] = ()) -> list[float]:
        seconds = self._clock() if self.is_first else 0.0
        *sums, self._seconds, stops = self._sums(
            [*losses, seconds, float(self._wants_to_stop())], self._steps
        )
        self._stops = stops > 0
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

    def join(self, mine: Tensor, columns: range, size: int) -> Tensor:
        whole = torch.zeros(size, *mine.shape[1:], dtype=mine.dtype)
        whole[columns.start : columns.stop] = mine.cpu()
        torch.distributed.all_reduce(whole)  # every row is zero but in one process: a sum is exact
        return whole

    def of_first(self, work: Callable[[], Result]) -> Result:
        given: list[Any] = [work() if self.is_first else None]
        torch.distributed.broadcast_object_list(given)
        result: Result = given[0]
        return result

    def in_turn(self, work: Callable[[], Result]) -> Result:
        if self._launch.local_rank == 0:
            result = work()
            torch.distributed.barrier()
            return result
        torch.distributed.barrier()
        return work()

    def share_gradients(self, model: nn.Module) -> nn.Module:
        shared = nn.parallel.DistributedDataParallel(_Loss(model), process_group=self._steps)
        # The engine lays gradients out anew after the first step. A step that changes nothing comes
        # before the first, so that a resumed run adds up in the order of the uninterrupted one.
        was_training = model.training
        ids = torch.zeros(1, 1, dtype=torch.long, device=next(model.parameters()).device)
        loss, _, _ = shared.eval()(ids, ids, None, model.initial_state(1), None)  # type: ignore[operator]
        loss.backward()
        shared.zero_grad()
        model.train(was_training)
        return shared

    @contextmanager
    def gathering(self, module: nn.Module, is_last: bool) -> Iterator[float]:
        with nullcontext() if is_last else module.no_sync():  # type: ignore[operator]
            yield self._launch.size  # the engine takes the mean over processes, we want the sum


class _Loss(nn.Module):
    """A model's loss as a module's forward, which is where the engine looks for gradients."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model

    def forward(
        self, inputs: Tensor, targets: Tensor, taught: Tensor | None, state: Any, masks: Any
    ) -> tuple[Any, Any, Any]:
        if inputs.shape[1] == 0:  # more processes than columns
            zero: Any = sum(0.0 * parameter.sum() for parameter in self.parameters())
            return zero, zero.detach(), state
        if taught is None:
            loss, state = self.model.loss(inputs, targets, state, masks)
            return loss, loss.detach(), state
        minimised, loss, state = self.model.distillation_loss(inputs, taught, targets, state, masks)
        return minimised, loss, state


_joined: list[tuple[Launch, Any]] = []
"""This process's place, and the group of `_Several`."""
_meetings = count()


def processes() -> Processes:
    """Return this process's part, for one run: of several where `together` has joined them."""
    return _Several(*_joined[0]) if _joined else Processes()


def _take_leave(store: Any, rank: int, size: int) -> None:
    """Wait until all are done: who leaves closes connections that another may still read from."""
    store.set(f"done-{rank}", "")
    with suppress(RuntimeError):  # who is done is done, whatever has become of the others
        store.wait([f"done-{other}" for other in range(size)], _LEAVE)


def _is_lost_connection(error: RuntimeError) -> bool:
    """Say whether an error is PyTorch's for another process that cannot be reached."""
    if isinstance(error, torch.distributed.DistError):
        return True
    return type(error) is RuntimeError and _OF_GLOO.search(str(error)) is not None


@contextmanager
def together() -> Iterator[None]:
    """Join the other processes for the time of the block, where `torchrun` has started several.

    Raises `ProcessError` when one of them has ended, and in all but the first for what this one
    alone may have met with.
    """
    launch = launched()
    if launch.size == 1 or _joined:
        yield
        return
    if torch.cuda.is_available():  # written with care, and not tested: no machine to test on
        if launch.local_rank < torch.cuda.device_count():
            torch.cuda.set_device(launch.local_rank)
        backend = "cpu:gloo,cuda:nccl"
    else:
        backend = "gloo"
    who = f"process {launch.rank} of {launch.size}"
    try:
        # PyTorch exports both, but leaves it to its documentation to say so.
        meet, prefix = torch.distributed.rendezvous, torch.distributed.PrefixStore  # type: ignore[attr-defined]
        store, rank, size = next(meet("env://", timeout=_PATIENCE))
        # The store keeps what processes wrote there before they were started anew, or met before.
        restarts = launch.restarts if launch.local_size == size else 0  # machines count differently
        store = prefix(f"{restarts}-{next(_meetings)}", store)
        torch.distributed.init_process_group(
            backend, store=store, rank=rank, world_size=size, timeout=_PATIENCE
        )
        _joined.append((launch, torch.distributed.new_group(timeout=_PATIENCE_IN_STEPS)))
        yield
        _take_leave(store, rank, size)
    except CharlmError as error:
        if launch.rank == 0 or isinstance(error, DivergenceError):
            raise
        raise ProcessError(f"{who}: {error}") from None
    except RuntimeError as reason:
        if not _is_lost_connection(reason):
            raise
        raise ProcessError(
            f"{who}: another one has ended or cannot be reached; see what it says, then go on with "
            "`charlm train --resume`"
        ) from None
    finally:
        _joined.clear()
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
