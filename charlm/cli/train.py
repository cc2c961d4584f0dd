"""The `train` command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from charlm.cli.completion import complete_input, complete_run
from charlm.cli.options import OTHER, OUTPUT, SERIES, TEXT, Quiet, Runs, Settings, Texts
from charlm.cli.run_training import Output, Show, run_training
from charlm.cli.setting_options import with_setting_options
from charlm.cli.sweeps import series_arguments
from charlm.distributed.launch import launched
from charlm.errors import CharlmError
from charlm.training.command_clock import CommandClock

if TYPE_CHECKING:
    from charlm.config.schema import Config


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
            help="Choose the model and its settings for the text and the time, also with a CONFIG.",
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
            help="Name of the run folder in --runs (default: that of the text, or of the config "
            "without one, with a number).",
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
            help="Print a JSON object per event on a line, for programs.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Train a model on a text.

    All results go to a run folder below runs/, whose path is printed last.
    Ctrl-C saves and stops; --resume continues.
    """
    clock = CommandClock()
    from charlm.cli.limits import announcement, describe_time
    from charlm.config.load import check_keys, to_yaml
    from charlm.files.locations import from_user
    from charlm.runs.finding import named_run
    from charlm.runs.paths import RunPaths
    from charlm.training.inputs import Inputs

    if resume is not None and str(resume).startswith("-"):
        raise CharlmError(f"--resume needs a run folder, not {resume}")
    series = series_arguments(seeds, sweep or ())
    if series and (resume is not None or print_config):
        raise CharlmError("--seeds and --sweep cannot be combined with --resume or --print-config")
    swept = series.get("sweep", ())
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

        run_training(continue_run, Output(json_, quiet))
        return
    if given.is_chosen and print_config:
        raise CharlmError(
            "--print-config needs a CONFIG, such as quickstart, and no --auto: otherwise charlm "
            "chooses the settings when training begins"
        )
    if series:

        def begin_series(show: Show) -> None:
            from charlm.training.series import train_series

            finished = train_series(
                given.config,
                **series,
                text=given.texts,
                settings=given.settings,
                name=name,
                runs=runs,
                auto=given.is_chosen,
                on_event=show,
            )
            if finished.failed:  # a run diverged, which has been printed
                raise typer.Exit(1)

        run_training(begin_series, Output(json_, quiet, is_series=True))
        return
    resolved = given.resolve()
    if print_config:
        print(to_yaml(resolved), end="")
        if resolved.training.budget is not None and not quiet:
            from charlm.cli.console import print_message

            print_message(describe_time(resolved))
        return
    _check_early(resolved, name, runs, is_chosen=given.is_chosen)

    def begin_run(show: Show) -> None:
        from charlm.training import start

        start.train(
            given.config,
            text=given.texts,
            settings=given.settings,
            name=name,
            runs=runs,
            auto=given.is_chosen,
            on_event=show,
            clock=clock,
        )

    first_lines = [] if quiet or not given.is_chosen else announcement(given.texts, resolved)
    run_training(begin_run, Output(json_, quiet), first_lines)


def _check_early(config: "Config", name: str | None, runs: Path, *, is_chosen: bool) -> None:
    """Raise `CharlmError` for a name or a text that cannot be used, before torch is imported."""
    from charlm.corpus.early_check import check_text
    from charlm.files.locations import from_user
    from charlm.runs.names import check_is_free
    from charlm.training.standard_input import AUTO, check_text_can_be_read_again

    if is_chosen:
        check_text_can_be_read_again(config, AUTO)
    if launched().size == 1 and not launched().max_restarts:
        if name is not None:
            check_is_free(from_user(runs), name)
        check_text(config.corpus)
