"""Start torchrun, and find its workers."""

import subprocess
import sys
from pathlib import Path


def torchrun(processes: int, *options: str) -> list[str]:
    """Return a command line that starts a number of processes of the command after it."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    return [*launcher, *options]


def worker(agent: subprocess.Popen[str], local_rank: int) -> int:
    """Return the id of the process with this rank on its machine."""
    children = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text("utf-8").split()
    wanted = f"LOCAL_RANK={local_rank}".encode()
    of_rank = (
        c for c in children if wanted in Path(f"/proc/{c}/environ").read_bytes().split(b"\0")
    )
    return int(next(of_rank))
