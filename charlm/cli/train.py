"""The `train` command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charlm.cli.completion import complete_input, complete_run
from charlm.cli.options import OTHER, OUTPUT, SERIES, TEXT, Runs, Settings, Texts
from charlm.cli.run_training import Output, Show, run_training
from charlm.cli.setting_options import with_setting_options
from charlm.cli.sweeps import refuse_several_values, series_arguments
from charlm.distributed.launch import launched
from charlm.errors import CharlmError
from charlm.training.command_clock import CommandClock

if TYPE_CHECKING:
    from charlm.config.schema import Config
    from charlm.training.inputs import Inputs


@with_setting_options
def train(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT|CONFIG",
            help="Texts (files, folders, globs, - for standard input), and at most one config (a "
            "shipped name, or a .yaml file). Without a config, charlm chooses the settings for "
            "the text. Without both it trains the config quickstart.",
            autocompletion=complete_input,
        ),
    ] = None,
    text: Texts = None,
    auto: Annotated[
        bool,
        typer.Option(
            "--auto",
            help="Choose the model and settings for the text and the time, even with a CONFIG.",
            rich_help_panel=TEXT,
        ),
    ] = False,
    set_: Settings = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Train a run for each seed, such as 0-2 or 0,3,7.",
            rich_help_panel=SERIES,
        ),
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUES",
            help="Train a run for each value of a key, such as model.cell=rnn,gru,lstm. "
            "Repeatable: a run for each combination. The same command continues what was stopped.",
            rich_help_panel=SERIES,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of the run folder in --runs (default: name of the text, or of the config "
            "if no text is given, and a number).",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    runs: Runs = Path("runs"),
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Resume a run from its last checkpoint.",
            rich_help_panel=OUTPUT,
            autocompletion=complete_run,
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
            help="Print one JSON object per line for each event, for programs.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            help="Print no messages and no progress, only the run folder, warnings about the text, "
            "and errors.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
) -> None:
    """Train a model on a text.

    All results go to a run folder below runs/, whose path is printed last.
    Ctrl-C saves and stops; --resume continues.
    """
    clock = CommandClock()
    from charlm.cli.limits import describe_bare_seconds, describe_time
    from charlm.config.load import check_keys, to_yaml
    from charlm.files.locations import from_user
    from charlm.runs.finding import named_run
    from charlm.runs.paths import RunPaths
    from charlm.training.inputs import Inputs

    if resume is not None and str(resume).startswith("-"):
        raise CharlmError(f"--resume needs a run folder, not {resume}")
    if resume is None:
        refuse_several_values(set_ or ())
    series = series_arguments(seeds, sweep or ())
    if series and (resume is not None or print_config):
        raise CharlmError("--seeds and --sweep cannot be combined with --resume or --print-config")
    swept = series.get("sweep", ())
    first_lines = [] if quiet else describe_bare_seconds(set_ or ())
    given = Inputs.of(inputs or (), text or (), set_ or (), auto or None, swept)
    if resume is not None:
        if given.has_config or (name, auto, print_config) != (None, False, False):
            raise CharlmError(
                "--resume cannot be combined with CONFIG, --name, --auto or --print-config"
            )
        run = named_run(from_user(resume), from_user(runs))
        RunPaths(run).check_exists()
        check_keys(set_ or ())

        def continue_run(show: Show) -> None:
            from charlm.training import start

            start.resume(run, text=given.texts, settings=set_ or (), on_event=show, clock=clock)

        run_training(continue_run, Output(json_, quiet), first_lines, run=run)
        return
    if given.is_chosen and print_config:
        raise CharlmError(
            "--print-config needs a CONFIG, such as quickstart, and no --auto: otherwise charlm "
            "chooses the settings when training begins"
        )
    about: dict[str, Any] = {
        "text": given.texts,
        "settings": given.settings,
        "name": name,
        "runs": runs,
        "auto": given.is_chosen,
    }
    if series:

        def begin_series(show: Show) -> None:
            from charlm.training.series import train_series

            finished = train_series(given.config, **series, **about, on_event=show)
            if finished.failed:  # a run diverged, which has been printed
                raise typer.Exit(1)

        run_training(begin_series, Output(json_, quiet, is_series=True), first_lines)
        return
    resolved = given.resolve()
    if print_config:
        print(to_yaml(resolved), end="")
        if resolved.training.budget is not None and not quiet:
            from charlm.cli.console import print_message

            print_message(describe_time(resolved))
        return
    _check_early(resolved, name, runs)

    def begin_run(show: Show) -> None:
        from charlm.training import start

        start.train(given.config, **about, on_event=show, clock=clock)

    about_text = [] if quiet else _describe_text(given, resolved)
    run_training(begin_run, Output(json_, quiet), [*about_text, *first_lines])


def _describe_text(given: "Inputs", config: "Config") -> list[str]:
    """Return lines about what charlm chooses for the text, and whether that looks like a list."""
    from charlm.cli.limits import announcement
    from charlm.cli.list_hint import list_hint

    choice = announcement(given.texts, config) if given.is_chosen else []
    return [*choice, *list_hint(config.corpus)]


def _check_early(config: "Config", name: str | None, runs: Path) -> None:
    """Raise `CharlmError` for a name or a text that cannot be used, before torch is imported."""
    from charlm.corpus.early_check import check_text
    from charlm.files.locations import from_user
    from charlm.runs.names import check_is_free

    if launched().size == 1 and not launched().max_restarts:
        if name is not None:
            check_is_free(from_user(runs), name)
        check_text(config.corpus)
