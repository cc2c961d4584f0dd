"""The `train` command."""

from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from charlm.cli.options import OTHER, OUTPUT, TEXT, Quiet, Runs, Settings, Texts
from charlm.cli.setting_options import with_setting_options
from charlm.distributed.launch import launched
from charlm.errors import CharlmError


@with_setting_options
def train(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEXT|CONFIG]...",
            help="Texts (files, folders, globs, - for standard input), or a config: a shipped "
            "name or a .yaml file; or both. Without a config, charlm chooses the settings for "
            "the text; without a text, it trains on the config's. Default: quickstart.",
        ),
    ] = None,
    text: Texts = None,
    auto: Annotated[
        bool,
        typer.Option(
            "--auto",
            help="Choose the model and its settings for the text and the time, also with a CONFIG.",
            rich_help_panel=TEXT,
        ),
    ] = False,
    set_: Settings = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the run folder in --runs.", rich_help_panel=OUTPUT)
    ] = None,
    runs: Runs = Path("runs"),
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="Resume a run from its last checkpoint.", rich_help_panel=OUTPUT
        ),
    ] = None,
    print_config: Annotated[
        bool,
        typer.Option(
            "--print-config", help="Print the resolved config and stop.", rich_help_panel=OTHER
        ),
    ] = False,
    json_: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print a JSON object per event on a line, for programs.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Train a model on a text.

    All results go to a run folder below runs/, whose path is printed last. Ctrl-C saves and
    stops; continue with --resume.
    """
    from charlm.cli.limits import with_limit
    from charlm.cli.training_inputs import announcement, sort_inputs
    from charlm.config.load import load_config, to_yaml

    if resume is not None and str(resume).startswith("-"):
        raise CharlmError(f"--resume needs a run folder, not {resume}")
    config, texts = sort_inputs(inputs or ())
    texts, settings = [*texts, *(text or ())], set_ or []
    if resume is not None:
        if (config, name, auto, print_config) != (None, None, False, False):
            raise CharlmError(
                "--resume cannot be combined with CONFIG, --name, --auto or --print-config"
            )
        _run(
            lambda start, view: start.resume(resume, text=texts, settings=settings, on_event=view),
            [],
            json_,
            quiet,
        )
        return
    is_chosen = auto or (config is None and bool(texts))
    if is_chosen and print_config:
        raise CharlmError(
            "--print-config needs a CONFIG, such as quickstart, and no --auto: otherwise charlm "
            "chooses the settings when training begins"
        )
    if is_chosen and config is None:
        settings = with_limit(settings)
    resolved = load_config(config or "quickstart", settings, texts)
    if print_config:
        print(to_yaml(resolved), end="")
        return
    _run(
        lambda start, view: start.train(
            config or "quickstart",
            text=texts,
            settings=settings,
            name=name,
            runs=runs,
            auto=is_chosen,
            on_event=view,
        ),
        [] if quiet or not is_chosen else announcement(texts, resolved),
        json_,
        quiet,
    )


def _run(
    begin: Callable[[Any, Callable[[Any], None]], object],
    first_lines: Sequence[str],
    json_: bool,
    quiet: bool,
) -> None:
    """Train; `begin` gets the module that trains and the receiver of events."""
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
        from charlm.training import start
        from charlm.training.events import Stepped, Stopping

        view = TrainingView(quiet, only_messages=json_)
        events = JsonEvents(view) if json_ else None
        receive = events or view
        with closing(view), events.reporting_errors() if events else nullcontext():
            begin(start, show)
    except KeyboardInterrupt:
        if not has_steps and not quiet:
            print_message("stopped before the first step; nothing was saved")
        raise
