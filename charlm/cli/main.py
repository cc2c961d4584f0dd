"""The `charlm` command. Torch is imported only by commands that need it."""

import sys
from typing import Annotated

import typer

from charlm.cli import streams
from charlm.cli.bench import bench
from charlm.cli.data import data
from charlm.cli.evaluate import evaluate
from charlm.cli.generate import generate
from charlm.cli.group import CommandGroup
from charlm.cli.runs import list_runs
from charlm.cli.train import train
from charlm.environment.process import prepare

app = typer.Typer(
    cls=CommandGroup,
    help="Character-level recurrent language models on your own text, on the machine you have.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(train)
app.command("eval")(evaluate)
app.command()(generate)
app.command("runs")(list_runs)
app.command()(bench)
app.add_typer(data, name="data")


def _show_version(is_requested: bool | None) -> None:
    if is_requested:
        from charlm.environment.version import charlm_version

        print(f"charlm {charlm_version()}")
        raise typer.Exit


@app.callback()
def charlm(
    version: Annotated[
        bool | None,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = None,
) -> None:
    """Character-level recurrent language models on your own text, on the machine you have."""


def main() -> None:
    """Run the command line and exit with its code."""
    prepare()  # before a command imports torch
    streams.guard_streams()
    sys.exit(streams.run(lambda: app(prog_name="charlm")))
