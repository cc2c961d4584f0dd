"""Compute with one thread in a forked process, where PyTorch would wait for threads forever.

A fork copies only the thread that calls it. PyTorch's threads (OpenMP's) do not notice, and the
first computation that they share never ends. charlm's own threads do notice (`threads.hpp`).
"""

import os
from functools import cache

import torch

_forked_from: list[int] = []
"""Ids of the processes from which this one was forked, directly or indirectly."""


@cache
def expect_forks() -> None:
    """Register a hook: every process that is forked from this one computes with one thread."""
    if hasattr(os, "register_at_fork"):  # Windows does not fork
        os.register_at_fork(after_in_child=_use_one_thread)


def _use_one_thread() -> None:
    _forked_from.append(os.getppid())
    torch.set_num_threads(1)


def most_threads(wanted: int) -> int:
    """Return the number of threads to use in this process: `wanted`, or 1 in a forked one."""
    return 1 if _forked_from else wanted
