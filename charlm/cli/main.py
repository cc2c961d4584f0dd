"""The `charlm` command. Torch is imported only by commands that need it."""

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from charlm.cli import streams
from charlm.cli.bench import bench
from charlm.cli.data import data
from charlm.cli.evaluate import evaluate
from charlm.cli.generate import generate
from charlm.cli.group import CommandGroup, HelpCommand
from charlm.cli.runs import list_runs
from charlm.cli.train import train
from charlm.environment.process import prepare

app = typer.Typer(
    cls=CommandGroup,
    help="Character-level recurrent language models on your own text, on the machine you have.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
COMMANDS: dict[str, tuple[Callable[..., None], tuple[str, ...]]] = {
    "train": (
        train,
        (
            "charlm train novel.txt",
            "charlm train quickstart novel.txt --hidden-size 512 --budget 10m",
            "charlm train --resume runs/novel",
        ),
    ),
    "eval": (evaluate, ("charlm eval runs/novel", "charlm eval runs/novel --text other.txt")),
    "generate": (generate, ('charlm generate -p "The rain" -n 500 -t 0.8',)),
    "runs": (list_runs, ("charlm runs",)),
    "bench": (bench, ("charlm bench --no-cells",)),
}
"""The commands by name, each with examples for its help."""
for _name, (_command, _examples) in COMMANDS.items():
    _epilog = "Examples:\n" + "\n".join(f"  {example}" for example in _examples)
    app.command(_name, cls=HelpCommand, epilog=_epilog)(_command)
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
