"""`python -m support.two_workers TODO`: train by two workers, as torchrun does, and kill one.

torchrun's agent starts a function here, and forks its processes from one that has imported torch:
to import it in each of four workers takes longer than what they train.
"""

import json
import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import Any

from torch.distributed.launcher.api import LaunchConfig, elastic_launch

import charlm
from charlm.cli.main import main
from charlm.training.step_result import StepResult
from charlm.training.trainer import Trainer


def train(path: str) -> None:
    """Do what a file says: train each kind, resume a run, and train one whose writer is killed."""
    todo = json.loads(Path(path).read_text("utf-8"))
    if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        about: Any = {"text": todo["text"], "runs": todo["runs"]}
        for name, settings in todo["kinds"].items():
            charlm.train("quickstart", **about, name=name, settings=settings)
        charlm.resume(todo["resumed"])
        _end_before_step_9()
    sys.argv[1:] = todo["killed"]
    try:
        main()
    except SystemExit as end:
        assert not end.code, end.code


def _end_before_step_9() -> None:
    take_step = Trainer.take_step

    def take_or_end(trainer: Trainer, *arguments: Any) -> StepResult:
        if trainer.step == 8 and os.environ["RANK"] == "0":
            os.kill(os.getpid(), signal.SIGKILL)
        return take_step(trainer, *arguments)

    Trainer.take_step = take_or_end  # type: ignore[assignment,method-assign]


if __name__ == "__main__":
    from support import two_workers  # noqa: PLW0406  (the workers find it by this name)

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([two_workers.__name__])
    launch = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        max_restarts=1,
        monitor_interval=0.05,
        start_method="forkserver",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        run_id="two",
    )
    elastic_launch(launch, two_workers.train)(sys.argv[1])
