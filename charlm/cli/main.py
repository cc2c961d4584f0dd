"""The `charlm` command. Torch is imported only by commands that need it."""

import atexit
import gc
import sys
from collections.abc import Callable
from typing import Annotated

import typer
from typer.main import get_command

from charlm.cli import streams
from charlm.cli.activations import activations
from charlm.cli.bench import bench
from charlm.cli.compare import compare
from charlm.cli.compress import compress, decompress
from charlm.cli.context import context
from charlm.cli.data import data
from charlm.cli.evaluate import evaluate
from charlm.cli.export import export
from charlm.cli.generate import generate
from charlm.cli.group import CommandGroup, HelpCommand
from charlm.cli.originality import originality
from charlm.cli.report import report
from charlm.cli.runs import list_runs
from charlm.cli.serve import serve
from charlm.cli.surprise import surprise
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
    "compress": (
        compress,
        ("charlm compress novel.txt", "charlm compress novel.txt --run runs/novel --with-model"),
    ),
    "decompress": (
        decompress,
        ("charlm decompress novel.txt.charlm -o copy.txt",),
    ),
    "export": (
        export,
        (
            "charlm export runs/novel --to web",
            "charlm export runs/novel --to onnx",
            "charlm export runs/novel --to torch -o novel",
        ),
    ),
    "serve": (
        serve,
        ("charlm serve runs/novel", "charlm serve runs/novel runs/gru --port 8080"),
    ),
    "compare": (
        compare,
        (
            "charlm compare runs/novel runs/gru",
            "charlm compare --group lstm=a-1,a-2 --group gru=b-1,b-2 --text other.txt",
        ),
    ),
    "originality": (
        originality,
        ("charlm originality runs/novel", "charlm originality runs/novel poem.txt"),
    ),
    "context": (context, ("charlm context runs/novel", "charlm context --text other.txt")),
    "surprise": (
        surprise,
        (
            "charlm surprise runs/novel letter.txt",
            "charlm surprise server.log --lines 20",
            "charlm surprise letter.txt --words",
            "charlm surprise letter.txt --html letter.html",
        ),
    ),
    "activations": (
        activations,
        (
            "charlm activations runs/code program.py",
            "charlm activations runs/novel --member 1 poem.txt --html units.html",
        ),
    ),
    "report": (
        report,
        ("charlm report runs/novel", "charlm report runs/novel runs/gru -o both.html"),
    ),
    "runs": (list_runs, ("charlm runs",)),
    "bench": (bench, ("charlm bench --no-cells",)),
}
"""The commands by name, each with examples for its help."""
TRAIN_AND_USE, UNDERSTAND, TEXTS_AND_MACHINE = "Train and use", "Understand", "Texts and machine"
PANELS = {
    **dict.fromkeys(
        ("train", "eval", "generate", "serve", "compress", "decompress", "export", "runs"),
        TRAIN_AND_USE,
    ),
    "compare": UNDERSTAND,
    "originality": UNDERSTAND,
    "context": UNDERSTAND,
    "surprise": UNDERSTAND,
    "activations": UNDERSTAND,
    "report": UNDERSTAND,
    "bench": TEXTS_AND_MACHINE,
}
"""Panels that group the commands in the help."""
for _name, (_command, _examples) in COMMANDS.items():
    _epilog = "Examples:\n" + "\n".join(f"  {example}" for example in _examples)
    app.command(_name, cls=HelpCommand, epilog=_epilog, rich_help_panel=PANELS[_name])(_command)
app.add_typer(data, name="data", rich_help_panel=TEXTS_AND_MACHINE)


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
    atexit.register(gc.freeze)  # else the search for cycles among torch's objects takes 0.5 s
    streams.guard_streams()
    sys.exit(streams.run(lambda: app(prog_name="charlm"), lambda: get_command(app)))
