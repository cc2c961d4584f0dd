"""The `export` command."""

from pathlib import Path
from typing import Annotated

import typer

from charlm.cli.options import OUTPUT, Quiet, RunPath, Runs
from charlm.errors import CharlmError
from charlm.export.formats import FORMATS


def export(
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="|".join(FORMATS),
            help="The format.",
            autocompletion=lambda: list(FORMATS),
        ),
    ],
    run: RunPath = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="The new file or folder (default: the run's name, in the current folder).",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    runs: Runs = Path("runs"),
    quiet: Quiet = False,
) -> None:
    """Write a trained network in a form that works without charlm."""
    from charlm.cli.console import print_message, results
    from charlm.files.atomic import path_of_new
    from charlm.runs.finding import checkpoint_of, names_of_runs

    wanted = FORMATS.get(to)
    if wanted is None:
        raise CharlmError(f"--to {to}: no such format; choose one of {', '.join(FORMATS)}")
    checkpoint = checkpoint_of(run, runs)
    if output is None:
        (name,) = names_of_runs([checkpoint])
        name = checkpoint.stem if name == str(checkpoint) else name.replace("/", "-")
        output = Path(name + wanted.ending)
    output = path_of_new(output, "--output")
    for line in wanted.write(checkpoint, output):
        if not quiet:
            print_message(line)
    results().print(str(output))
