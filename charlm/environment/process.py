"""What this machine is, and what must be said to it before torch loads."""

import ctypes
import json
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from charlm.errors import CharlmError
from charlm.files.locations import cache_folder
from charlm.files.untrusted import InvalidDataError, as_ascii, parse_json, read_bounded

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_set: dict[str, str] = {}
"""Environment variables that `prepare` has set."""
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def prepare() -> None:
    """Tune the current process for speed; call it before anything imports torch.

    It sets environment variables that torch reads when it loads, and options of the C library's
    allocator, but changes nothing that the user has set. The command line calls it. A program that
    imports charlm may omit it: everything works, but more slowly on few cores.

    Threads that wait for work sleep, as by default they would keep their cores busy with waiting
    and slow down everything else, charlm's own kernels among it. Large tensors lie in large pages,
    which are several times cheaper to get from Linux.
    """
    wanted = {
        "THP_MEM_ALLOC_ENABLE": "1",
        "KINETO_LOG_LEVEL": "99",  # the profiler's log on standard error
        "TORCH_CPP_LOG_LEVEL": "ERROR",
    }
    if not any(name in os.environ for name in _WAITING):
        wanted["OMP_WAIT_POLICY"] = "passive"
        wanted["GOMP_SPINCOUNT"] = "10000"  # some microseconds: what follows at once
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(added)
    _set.update(added)
    if sys.platform == "linux" and not any(name.startswith("MALLOC_") for name in os.environ):
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):  # glibc: keep what was freed for the next step
            libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)
            libc.mallopt(_M_TRIM_THRESHOLD, 1 << 30)


def environment_found() -> dict[str, str]:
    """Return the environment without the variables of `prepare`, for other programs."""
    return {name: value for name, value in os.environ.items() if _set.get(name) != value}


class Launch(NamedTuple):
    """Which of the processes this is that `torchrun` has started to train one model."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Its number on this machine."""
    local_size: int = 1
    restarts: int = 0
    """How often `torchrun` has started them anew."""
    most_restarts: int = 0


def launched() -> Launch:
    """Return what `torchrun` says in the environment, or that it has started nothing."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return Launch()
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    counts = ("TORCHELASTIC_RESTART_COUNT", "TORCHELASTIC_MAX_RESTARTS")
    launch = Launch(*map(_count_of_launch, (*names, *counts)))
    if launch.rank >= launch.size:
        raise _not_of_torchrun("RANK", f"WORLD_SIZE={launch.size}")
    if launch.local_rank >= launch.local_size:
        raise _not_of_torchrun("LOCAL_RANK", f"LOCAL_WORLD_SIZE={launch.local_size}")
    if launch.size > 1:
        _count_of_launch("MASTER_PORT")
        if not os.environ.get("MASTER_ADDR"):
            raise _not_of_torchrun("MASTER_ADDR")
    return launch


def _count_of_launch(name: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", os.environ.get(name, "")):
        raise _not_of_torchrun(name)
    return int(os.environ[name])


def _not_of_torchrun(name: str, beside: str = "TORCHELASTIC_RUN_ID") -> CharlmError:
    value = os.environ.get(name)
    said = "not set" if value is None else f"{value!r:.40}"
    return CharlmError(
        f"the environment variable {name} is {said}, which does not match {beside}; start charlm "
        "with torchrun, or unset TORCHELASTIC_RUN_ID"
    )


def launch_name() -> str:
    """Return what tells this start of `torchrun`, its restarts included, from others; or ""."""
    launch, name = launched(), os.environ.get("TORCHELASTIC_RUN_ID", "")
    if launch.local_size == launch.size:  # all have one parent, which starts them anew
        logs, _, _ = os.environ.get("TORCHELASTIC_ERROR_FILE", "").rpartition("attempt_")
        return f"{name} {os.getppid()} {logs}"  # in a container, parents have one number
    return "" if name == "none" else name  # that is what each is called without --rdzv-id


def remembered(key: str) -> Any:
    """Return what was measured on this machine before under this key, or None."""
    return _notes().get(key)


def remember(key: str, value: Any) -> None:
    """Keep a measurement for the next process; a folder that cannot be written only costs time."""
    from charlm.files.atomic import write_whole  # noqa: PLC0415
    from charlm.files.cache_record import claim, record_locked  # noqa: PLC0415 - its imports are slow

    with suppress(OSError), record_locked():
        claim(_notes_file())
        write_whole(_notes_file(), json.dumps(_notes() | {key: value}).encode())


def _notes_file() -> Path:
    return cache_folder() / "measurements.json"


def _notes() -> dict[str, Any]:
    try:
        notes = parse_json(as_ascii(read_bounded(_notes_file(), megabytes=1)))
    except (OSError, InvalidDataError):
        return {}
    return notes if isinstance(notes, dict) else {}
