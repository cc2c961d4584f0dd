"""Name the commands to type next."""

import shlex
from pathlib import Path

from charlm.config.schema import Config
from charlm.formatting import epoch_count, option_duration
from charlm.training.events import Finished

_STILL_LEARNING = 0.9
"""Fraction of the steps after which the best validation shows that more steps would help."""


def resume_command(run: Path) -> str:
    """Return the command that resumes a run."""
    return f"charlm train --resume {shlex.quote(str(run))}"


def next_commands(event: Finished, config: Config | None) -> tuple[str, str]:
    """Return the commands that write text with a trained model, and that improve or score it.

    `config` is that of the last network that was trained. An ensemble is not extended.
    """
    run = shlex.quote(str(event.folder.path))
    prefix = config.generation.prefix if config is not None else ""
    generate = f"charlm generate {run}"
    if prefix.strip() and prefix.isprintable():
        generate += f" --prefix {shlex.quote(prefix)}"
    longer = "" if config is None or event.networks else _longer(event, config)
    if longer and event.best_step >= _STILL_LEARNING * event.step:
        return generate, f"{resume_command(event.folder.path)} {longer}"
    split = "" if event.held_out is not None else " --split train"
    return generate, f"charlm eval {run}{split}"


def _longer(event: Finished, config: Config) -> str:
    """Return the option that doubles the limit that training has reached, or ""."""
    training = config.training
    if training.epochs is not None and event.epochs >= training.epochs:
        return f"--set training.epochs={epoch_count(2 * training.epochs).replace(',', '')}"
    if training.steps is not None and event.step >= training.steps:
        return f"--set training.steps={2 * training.steps}"
    if training.budget is not None:
        return f"--budget {option_duration(2 * training.budget)}"
    return ""
