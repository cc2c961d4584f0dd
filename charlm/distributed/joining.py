"""Join the processes of one `torchrun` launch, and report when one of them is lost."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import count
from typing import Any

import torch

from charlm.distributed.launch import launched
from charlm.distributed.processes import Processes
from charlm.distributed.several_processes import SeveralProcesses
from charlm.errors import CharlmError, DivergenceError, ProcessError

_WORK_TIMEOUT = timedelta(hours=2)
"""Longest time that one process may work alone, to build a corpus or to score one stream."""
_STEP_TIMEOUT = timedelta(minutes=15)
"""Longest delay of a process before a step: the first one emits events, samples and saves.

The other processes detect a machine that vanishes only by this delay, because it sends no message.
"""
_LEAVE_TIMEOUT = timedelta(minutes=1)
"""Longest time that a process waits at the end for the others."""
_GLOO_ERROR = re.compile(r"\[\S*\bgloo/\S+:\d+\] ")
"""Pattern of PyTorch's messages about a lost connection to another process."""
_meeting_numbers = count()


@contextmanager
def joined_processes() -> Iterator[Processes]:
    """Join the other processes inside the block, if `torchrun` has started several.

    Raises `ProcessError` when one of them has ended. All processes but the first also raise it for
    an error that only they may have.
    """
    launch = launched()
    if launch.size == 1:
        yield Processes()
        return
    if torch.cuda.is_available():  # not tested with several GPUs
        if launch.local_rank < torch.cuda.device_count():
            torch.cuda.set_device(launch.local_rank)
        backend = "cpu:gloo,cuda:nccl"
    else:
        backend = "gloo"
    name = f"process {launch.rank} of {launch.size}"
    try:
        # PyTorch exports both, but states so only in its documentation.
        rendezvous, prefix_store = torch.distributed.rendezvous, torch.distributed.PrefixStore  # type: ignore[attr-defined]
        store, rank, size = next(rendezvous("env://", timeout=_WORK_TIMEOUT))
        # The store keeps what processes wrote before a restart, or in an earlier meeting.
        restarts = launch.restarts if launch.local_size == size else 0  # machines count differently
        store = prefix_store(f"{restarts}-{next(_meeting_numbers)}", store)
        torch.distributed.init_process_group(
            backend, store=store, rank=rank, world_size=size, timeout=_WORK_TIMEOUT
        )
        yield SeveralProcesses(launch, torch.distributed.new_group(timeout=_STEP_TIMEOUT))
        _leave(store, rank, size)
    except CharlmError as error:
        if launch.rank == 0 or isinstance(error, DivergenceError):
            raise
        raise ProcessError(f"{name}: {error}") from None
    except RuntimeError as reason:
        if not _is_lost_connection(reason):
            raise
        raise ProcessError(
            f"{name}: another process has ended or cannot be reached; read its error, then resume "
            "with `charlm train --resume`"
        ) from None
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _leave(store: Any, rank: int, size: int) -> None:
    """Wait until all are done: a process that ends closes connections that others still use."""
    store.set(f"done-{rank}", "")
    with suppress(RuntimeError):  # this process has finished, even if others have failed
        store.wait([f"done-{other}" for other in range(size)], _LEAVE_TIMEOUT)


def _is_lost_connection(error: RuntimeError) -> bool:
    """Return whether an error is PyTorch's for another process that cannot be reached."""
    if isinstance(error, torch.distributed.DistError):
        return True
    return type(error) is RuntimeError and _GLOO_ERROR.search(str(error)) is not None
