"""Read the environment variables that `torchrun` sets, without importing torch."""

import os
import re
from typing import NamedTuple

from charlm.errors import CharlmError


class Launch(NamedTuple):
    """Position of this process among those that `torchrun` has started to train one model."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Number of the process on this machine."""
    local_size: int = 1
    restarts: int = 0
    """Number of times that `torchrun` has restarted the processes."""
    max_restarts: int = 0


def launched() -> Launch:
    """Return the launch in the environment, or a launch of one process without `torchrun`.

    Raises `CharlmError` for an environment that contradicts itself.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return Launch()
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    counts = ("TORCHELASTIC_RESTART_COUNT", "TORCHELASTIC_MAX_RESTARTS")
    launch = Launch(*map(_count, (*names, *counts)))
    if launch.rank >= launch.size:
        raise _contradiction("RANK", f"WORLD_SIZE={launch.size}")
    if launch.local_rank >= launch.local_size:
        raise _contradiction("LOCAL_RANK", f"LOCAL_WORLD_SIZE={launch.local_size}")
    if launch.size > 1:
        _count("MASTER_PORT")
        if not os.environ.get("MASTER_ADDR"):
            raise _contradiction("MASTER_ADDR")
    return launch


def _count(name: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", os.environ.get(name, "")):
        raise _contradiction(name)
    return int(os.environ[name])


def _contradiction(name: str, other: str = "TORCHELASTIC_RUN_ID") -> CharlmError:
    value = os.environ.get(name)
    found = "not set" if value is None else f"{value!r:.40}"
    return CharlmError(
        f"the environment variable {name} is {found}, which does not match {other}; start charlm "
        "with torchrun, or unset TORCHELASTIC_RUN_ID"
    )


def launch_name() -> str:
    """Return a unique name of this launch, equal after restarts; "" if nothing distinguishes it."""
    launch, name = launched(), os.environ.get("TORCHELASTIC_RUN_ID", "")
    if launch.local_size == launch.size:  # all have the same parent process, which restarts them
        logs, _, _ = os.environ.get("TORCHELASTIC_ERROR_FILE", "").rpartition("attempt_")
        return f"{name} {os.getppid()} {logs}"  # containers reuse process numbers
    return "" if name == "none" else name  # every launch without --rdzv-id has this name
