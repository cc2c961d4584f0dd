"""Show the events of a training, and say what Ctrl-C leaves."""

from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
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
) -> None:
    """Train; `begin` gets the receiver of events."""
    has_steps = False

    def show(event: Any) -> None:
        nonlocal has_steps
        has_steps = has_steps or isinstance(event, Stepped | Stopping)
        receive(event)

    from charlm.cli.console import print_message
    from charlm.kernels import compiler

    try:
        if launched().local_rank == 0:
            for line in first_lines:
                print_message(line)
            compiler.begin()  # it runs while torch loads
        from charlm.cli.json_events import JsonEvents
        from charlm.cli.progress import TrainingView
        from charlm.cli.series import SeriesView
        from charlm.training.events import Stepped, Stopping

        make_view = SeriesView if output.is_series else TrainingView
        view: Any = make_view(output.quiet, only_messages=output.json)
        events = JsonEvents(view) if output.json else None
        receive = events or view
        with closing(view), events.reporting_errors() if events else nullcontext():
            begin(show)
    except KeyboardInterrupt:
        if output.is_series:
            message = "stopped; the same command continues the series"
        else:
            message = "" if has_steps else "stopped before the first step; nothing was saved"
        if message and not output.quiet:
            print_message(message)
        raise
