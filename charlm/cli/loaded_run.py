"""Load the model of a command, and say which checkpoint it uses."""

from pathlib import Path
from typing import TYPE_CHECKING

from charlm.cli.console import print_message
from charlm.cli.next_commands import resume_command

if TYPE_CHECKING:
    from charlm.cli.options import Device
    from charlm.config.settings import TextPaths
    from charlm.prediction.predictor import Predictor  # which loads torch


def load_model(
    run: Path | None, *, runs: Path, device: "Device", text: "TextPaths", quiet: bool
) -> "Predictor":
    """Load the model of a run, as `predictor.load` does, and print what it is unless `quiet`."""
    from charlm.prediction import predictor

    loaded = predictor.load(run, runs=runs, device=device.value, text=text)
    if not quiet:
        _print_used(loaded)
    return loaded


def _print_used(loaded: "Predictor") -> None:
    """Print the checkpoint of a model, and whether training is ahead of it."""
    print_message(f"using {loaded.describe()}")
    if loaded.path is None or loaded.checkpoint is None:
        return
    from charlm.runs.ensemble_age import steps_since_mixing

    if steps := steps_since_mixing(loaded.path, loaded.checkpoint):
        mixed, now = steps
        command = resume_command(loaded.path.parent.parent)
        print_message(
            f"ensemble of step {mixed:,}; training is at {now:,}; `{command}` rebuilds it"
        )
