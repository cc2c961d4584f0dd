"""The number of threads that the kernels use; PyTorch computes with one thread beside them.

Each number that a kernel computes is summed by one thread, in an order that does not depend on how
many threads there are. PyTorch's operations do not promise this: some divide a sum among threads,
others compute the elements at the ends of each thread's share by another formula. So PyTorch
computes with one thread wherever the kernels do the large work, and then no result depends on the
number of threads.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Lock

import torch

_number: ContextVar[int | None] = ContextVar("threads", default=None)
"""The kernels' threads in a block of `only_kernels_share`."""


@dataclass
class _Blocks:
    """The blocks of `only_kernels_share` in all threads of this process."""

    lock: Lock = field(default_factory=Lock)
    count: int = 0
    outside: int = 1
    """PyTorch's number of threads outside the blocks."""


_blocks = _Blocks()


def num_threads() -> int:
    """Return the number of threads among which a kernel shares its work."""
    return _number.get() or torch.get_num_threads()


@contextmanager
def only_kernels_share(applies: bool = True) -> Iterator[None]:
    """Let only the kernels share their work among threads in the block, if it `applies`.

    The kernels get the number that PyTorch has outside, and PyTorch gets one thread.
    """
    if not applies or _number.get() is not None:
        yield
        return
    with _blocks.lock:
        if (
            _blocks.count == 0
        ):  # else a new thread may see the 1 that PyTorch has in another's block
            _blocks.outside = torch.get_num_threads()
        _blocks.count += 1
        outside = _blocks.outside
    token = _number.set(outside)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(outside)
        _number.reset(token)
        with _blocks.lock:
            _blocks.count -= 1
