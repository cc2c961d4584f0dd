"""Tune the current process for speed, before torch is imported."""

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_variables_set: dict[str, str] = {}
"""Environment variables that `prepare` has set."""
_WAIT_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def prepare() -> None:
    """Tune the current process for speed; call it before anything imports torch.

    It sets environment variables that torch reads when it loads, and options of the C library's
    allocator, but changes nothing that the user has set. The command line calls it. A program that
    imports charlm may omit it: everything works, but more slowly on few cores.

    Threads that wait for work sleep. By default they keep their cores busy and slow down everything
    else, even charlm's own kernels. Large tensors use large pages, which Linux provides several
    times faster.
    """
    wanted = {
        "THP_MEM_ALLOC_ENABLE": "1",
        "KINETO_LOG_LEVEL": "99",  # the profiler's log on standard error
        "TORCH_CPP_LOG_LEVEL": "ERROR",
    }
    if not any(name in os.environ for name in _WAIT_VARIABLES):
        wanted["OMP_WAIT_POLICY"] = "passive"
        wanted["GOMP_SPINCOUNT"] = "10000"  # some microseconds, for work that follows at once
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(added)
    _variables_set.update(added)
    if sys.platform == "linux" and not any(name.startswith("MALLOC_") for name in os.environ):
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):  # glibc: keep freed memory for the next step
            libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)
            libc.mallopt(_M_TRIM_THRESHOLD, 1 << 30)


def original_environment() -> dict[str, str]:
    """Return the environment without the variables of `prepare`, for other programs."""
    return {name: value for name, value in os.environ.items() if _variables_set.get(name) != value}
