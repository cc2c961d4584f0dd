"""Run the training of a command, show its events, and say what an interruption leaves."""

from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from charlm.distributed.launch import launched

Show = Callable[[Any], None]
"""Receives the events of a training, or of a series; their types load torch."""


class Output(NamedTuple):
    """What is printed."""

    json: bool
    quiet: bool
    is_series: bool = False


def run_training(
    begin: Callable[[Show], None],
    output: Output,
    first_lines: Sequence[str] = (),
    run: Path | None = None,
) -> None:
    """Train; `begin` gets the receiver of events. `run` is the folder of a run that is resumed."""
    has_said = False

    def show(event: Any) -> None:
        nonlocal has_said, run
        has_said = has_said or isinstance(event, Stopping | Finished)
        if run is None and isinstance(event, NetworkBegins | Started):
            run = event.folder.path
        receive(event)

    from charlm.cli.console import print_message
    from charlm.cli.next_commands import resume_command
    from charlm.kernels import compiler

    try:
        if launched().local_rank == 0:
            for line in first_lines:
                print_message(line)
            compiler.begin()  # the compiler runs while torch loads
        from charlm.cli.json_events import JsonEvents
        from charlm.cli.progress import TrainingView
        from charlm.cli.series import SeriesView
        from charlm.pages.training_report import ReportedEvents
        from charlm.training.events import Finished, NetworkBegins, Started, Stopping

        make_view = SeriesView if output.is_series else TrainingView
        view: Any = make_view(output.quiet, only_messages=output.json)
        events = JsonEvents(view) if output.json else None
        receive = events or view
        with closing(view), events.reporting_errors() if events else nullcontext():
            begin(ReportedEvents(show, lambda line: print_message(f"warning: {line}")))
    except KeyboardInterrupt:
        if output.is_series:
            has_said = False
            message = "stopped; the same command continues the series"
        elif run is not None and _has_checkpoint(run):
            message = f"stopped; resume from the last checkpoint with `{resume_command(run)}`"
        else:
            message = "stopped before the first step; nothing was saved"
        if not has_said and not output.quiet and launched().rank == 0:
            print_message(message)
        raise


def _has_checkpoint(run: Path) -> bool:
    """Return whether a run, or a member of an ensemble, can be resumed from a checkpoint."""
    return any(any(run.glob(f"{place}checkpoints/*.safetensors")) for place in ("", "member-*/"))
