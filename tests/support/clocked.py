"""`python clocked.py ARGUMENTS`: run charlm with a clock that advances by a second at each step."""

from typing import Any

import pytest

from charlm.cli.main import main
from charlm.training import command_clock
from charlm.training.step_result import StepResult
from charlm.training.trainer import Trainer


def clock_of_steps(patch: pytest.MonkeyPatch) -> None:
    """Let a run's clock go on by a second at each step, and at nothing else."""
    seconds, take_step = [0], Trainer.take_step

    def take_a_second(self: Trainer, *arguments: Any) -> StepResult:
        report = take_step(self, *arguments)
        seconds[0] += 1
        return report

    patch.setattr(Trainer, "take_step", take_a_second)
    patch.setattr(command_clock, "seconds_awake", lambda: float(seconds[0]))


if __name__ == "__main__":
    clock_of_steps(pytest.MonkeyPatch())
    main()
