"""What torchrun says of the processes that it has started; torch is not imported."""

import os
import re
from typing import NamedTuple

from charlm.errors import CharlmError


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
