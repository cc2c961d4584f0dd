"""The `train` command."""

from contextlib import closing, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from charlm.cli.arguments import option_settings
from charlm.cli.options import Quiet, Runs, Settings, Texts
from charlm.distributed.launch import launched
from charlm.errors import CharlmError


def train(
    config: Annotated[
        str | None,
        typer.Argument(help="Name of a shipped config, or a YAML file (default: quickstart)."),
    ] = None,
    text: Texts = None,
    set_: Settings = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Train for at most this time (90s, 3m, 1h30m), then evaluate."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Random seed for weights, data order, dropout and samples.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run folder in --runs.")] = None,
    runs: Runs = Path("runs"),
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Resume a run from its last checkpoint.")
    ] = None,
    deterministic: Annotated[
        bool,
        typer.Option(
            "--deterministic",
            help="Reproduce results bit for bit, on this machine with the same versions and number "
            "of threads. A budget depends on the clock: set it to null, and use epochs or steps.",
        ),
    ] = False,
    auto: Annotated[
        bool,
        typer.Option(
            "--auto", help="Choose the model and its settings for this text and --budget."
        ),
    ] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the resolved config and stop.")
    ] = False,
    json_: Annotated[
        bool,
        typer.Option("--json", help="Print a JSON object per event on a line, for programs."),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Train a model on a text.

    Without arguments it trains the quickstart config. All results go to a run
    folder below runs/, whose path is printed last. Ctrl-C saves and stops; continue with --resume.
    """
    options: Any = {"budget": budget, "seed": seed, "deterministic": deterministic or None}
    keys = {f"training.{name}": value for name, value in options.items()}
    settings = option_settings(keys, set_ or ())
    if resume is not None and str(resume).startswith("-"):
        raise CharlmError(f"--resume needs a run folder, not {resume}")
    if resume is not None and (config, name, auto, print_config) != (None, None, False, False):
        raise CharlmError(
            "--resume cannot be combined with CONFIG, --name, --auto or --print-config"
        )
    config = config or "quickstart"
    if auto and print_config:
        raise CharlmError("--auto cannot be combined with --print-config")
    if print_config:
        from charlm.config.load import load_config, to_yaml

        print(to_yaml(load_config(config, settings, text or ())), end="")
        return

    from charlm.kernels import compiler

    if launched().local_rank == 0:
        compiler.begin()  # it runs while torch loads
    from charlm.cli.json_events import JsonEvents
    from charlm.cli.progress import TrainingView
    from charlm.training import start

    view = TrainingView(quiet, only_messages=json_)
    events = JsonEvents(view) if json_ else None
    with closing(view), events.reporting_errors() if events else nullcontext():
        if resume is not None:
            start.resume(resume, text=text or (), settings=settings, on_event=events or view)
        else:
            start.train(
                config,
                text=text or (),
                settings=settings,
                name=name,
                runs=runs,
                auto=auto,
                on_event=events or view,
            )
