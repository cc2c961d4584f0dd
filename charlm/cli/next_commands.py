"""Name the commands to type next."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from charlm.config.schema import Config, TrainingConfig
from charlm.formatting import count, epoch_count, option_duration

if TYPE_CHECKING:
    from charlm.training.events import Finished  # which loads torch
    from charlm.training.series_results import SeriesFinished

_STILL_LEARNING = 0.9
"""Fraction of all steps: if the best validation comes later, more steps would help."""


def resume_command(run: Path) -> str:
    """Return the command that resumes a run."""
    return f"charlm train --resume {shlex.quote(str(run))}"


def next_commands(event: "Finished", config: Config | None) -> tuple[str, str]:
    """Return the commands that write text with a trained model, and that improve or score it.

    `config` is that of the last network that was trained. An ensemble is not extended.
    """
    run = shlex.quote(str(event.folder.path))
    prefix = config.generation.prefix if config is not None else ""
    generate = f"charlm generate {run}"
    if config is not None and config.corpus.has_records:
        generate += " --items 20"
    elif prefix.strip() and prefix.isprintable():
        generate += f" --prefix {shlex.quote(prefix)}"
    longer = (
        ""
        if config is None or event.networks
        else _longer(config.training, event.epochs, event.step)
    )
    if longer and event.best_step >= _STILL_LEARNING * event.step:
        return generate, f"{resume_command(event.folder.path)} {longer}"
    split = "" if event.held_out is not None else " --split train"
    return generate, f"charlm eval {run}{split}"


def finished_limit(
    training: TrainingConfig, epochs: float, step: int, whole_budget: float | None = None
) -> str:
    """Name the limit that a finished run has reached, and the option that extends the run.

    `whole_budget` is the time budget of the ensemble if the run is that of a member.
    """
    if training.epochs is not None and epochs >= training.epochs:
        plural = "" if training.epochs == 1 else "s"
        limit = f"limit of {epoch_count(training.epochs)} epoch{plural}"
    elif training.steps is not None and step >= training.steps:
        limit = f"limit of {count(training.steps, 'step')}"
    else:
        budget = whole_budget or training.budget or 0.0
        longer = f"--budget {option_duration(2 * budget)}"
        return f"finished at its budget of {option_duration(budget)}; extend it with {longer}"
    return f"finished at its {limit}; extend it with {_longer(training, epochs, step)}"


def _longer(training: TrainingConfig, epochs: float, step: int) -> str:
    """Return the option that doubles the limit that training has reached, or ""."""
    if training.epochs is not None and epochs >= training.epochs:
        return f"--set training.epochs={epoch_count(2 * training.epochs).replace(',', '')}"
    if training.steps is not None and step >= training.steps:
        return f"--set training.steps={2 * training.steps}"
    if training.budget is not None:
        return f"--budget {option_duration(2 * training.budget)}"
    return ""


def series_commands(event: "SeriesFinished") -> list[str]:
    """Return the commands that compare and score the runs of a series, and use the best one.

    If the scores are not comparable, the table ends with the one command that makes them so.
    """
    if event.why_not_comparable:
        return []
    split = "" if event.split else " --split train"
    groups = [
        (" ".join(value for _, value in group.results[0].run.swept), paths)
        for group in event.settings
        if (paths := [str(result.run.path) for result in group.results if result.finished])
    ]
    runs = [path for _, paths in groups for path in paths]
    commands = [] if event.best is None else [f"charlm generate {_quoted(event.best.run.path)}"]
    if len(runs) > 1 and not _have_own_texts(event):
        models = " ".join(map(_quoted, runs))
        if 1 < len(groups) < len(runs):
            models = " ".join(
                f"--group {shlex.quote(name + '=' + ','.join(paths))}" for name, paths in groups
            )
        commands.append(f"charlm compare {models}{split}")
    if runs:
        commands.append(f"charlm eval {' '.join(map(_quoted, runs))}{split}")
    return commands


def _have_own_texts(event: "SeriesFinished") -> bool:
    """Return whether the runs of a series differ in their text or its splits."""
    return any(key.startswith("corpus.") for key, _ in event.results[0].run.swept)


def _quoted(path: Path | str) -> str:
    return shlex.quote(str(path))
