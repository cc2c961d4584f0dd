"""Find out whether the members of an ensemble have trained since they were mixed."""

from pathlib import Path

from charlm.errors import CheckpointError
from charlm.runs.checkpoint import Checkpoint
from charlm.runs.checkpoint_header import open_file, read_metadata, step_of
from charlm.runs.paths import RunPaths

TRAINED = "trained_steps"
"""Key of a counter in the checkpoint of an ensemble: the steps of its members when it was mixed."""


def steps_since_mixing(file: Path, checkpoint: Checkpoint) -> tuple[int, int] | None:
    """Return the steps of an ensemble's members when it was mixed, and now; None if they agree.

    Returns None, too, if the checkpoint is not in the run folder of its ensemble.
    """
    mixed = checkpoint.training_counters.get(TRAINED)
    folder = file.absolute().parent.parent
    if type(mixed) is not int or RunPaths(folder).best != file.absolute():
        return None
    numbers = range(1, checkpoint.config.ensemble.size + 1)
    steps = [_last_step(RunPaths(folder / f"member-{number}")) for number in numbers]
    now = sum(step for step in steps if step is not None)
    return (mixed, now) if now > mixed else None


def _last_step(member: RunPaths) -> int | None:
    """Return the step of a member's last checkpoint; None if it cannot be read."""
    try:
        with open_file(member.last) as file:
            return step_of(read_metadata(member.last, file).get("counters"))
    except (CheckpointError, OSError):  # a copy of the checkpoint, without the members
        return None
