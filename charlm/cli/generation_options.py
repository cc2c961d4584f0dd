"""The options of `generate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Unpack

import typer

from charlm.cli.arguments import ESCAPES_HELP
from charlm.cli.options import OUTPUT, SAMPLING, TEXT
from charlm.cli.options import Unknown as UnknownChoice

if TYPE_CHECKING:
    from charlm.config.sections.generation import GenerationSettings

Prefix = Annotated[
    str | None,
    typer.Option(
        "--prefix",
        "-p",
        metavar="TEXT",
        help="Text to continue, taken literally; with --items, the beginning of each item.",
        rich_help_panel=TEXT,
    ),
]
PrefixFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="File with the prefix: UTF-8, or any bytes for a byte model.",
        rich_help_panel=TEXT,
    ),
]
Length = Annotated[
    int | None,
    typer.Option(
        "--length",
        "-n",
        metavar="N",
        help="Characters to generate (default: that of the config, or 300).",
        rich_help_panel=TEXT,
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        "--temperature",
        "-t",
        metavar="X",
        help="Below 1 less random, above 1 more random; 0 is greedy.",
        rich_help_panel=SAMPLING,
    ),
]
TopK = Annotated[
    int | None,
    typer.Option(
        metavar="K",
        help="Sample from the K likeliest characters only.",
        rich_help_panel=SAMPLING,
    ),
]
TopP = Annotated[
    float | None,
    typer.Option(
        metavar="P",
        help="Sample from the likeliest characters that together have this probability.",
        rich_help_panel=SAMPLING,
    ),
]
MinP = Annotated[
    float | None,
    typer.Option(
        metavar="P",
        help="Drop characters less likely than this fraction of the likeliest one.",
        rich_help_panel=SAMPLING,
    ),
]
Greedy = Annotated[
    bool | None,
    typer.Option(
        "--greedy", help="Always choose the likeliest character.", rich_help_panel=SAMPLING
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Random seed: the same seed gives the same text.",
        rich_help_panel=SAMPLING,
    ),
]
Portable = Annotated[
    bool,
    typer.Option(
        "--portable",
        help="Compute with integers: the same seed gives the same text on every machine.",
        rich_help_panel=SAMPLING,
    ),
]
NumSamples = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=1,
        max=10_000,
        help="Number of texts to generate.",
        rich_help_panel=TEXT,
    ),
]
Stop = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT", help=f"Stop before this text. {ESCAPES_HELP}", rich_help_panel=TEXT
    ),
]
Unknown = Annotated[
    UnknownChoice,
    typer.Option(
        metavar="NAME",
        help="What to do with unknown characters of the prefix: error, skip or map.",
        rich_help_panel=TEXT,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write the text, and only the text, to a new file.",
        rich_help_panel=OUTPUT,
    ),
]
MarkCopied = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Underline spans of N or more characters copied from the training text; in a "
        "pipe and without styles, put them between ⟦ and ⟧.",
        rich_help_panel=OUTPUT,
    ),
]
Interactive = Annotated[
    bool,
    typer.Option(
        "--interactive",
        "-i",
        help="Continue each line that you type, or that standard input has; :help lists commands.",
        rich_help_panel=TEXT,
    ),
]


def checked_sampling(
    match: str | None, **settings: Unpack["GenerationSettings"]
) -> "GenerationSettings":
    """Return the settings; raises an error for a value or a pattern that no model takes."""
    from charlm.config.load import with_generation
    from charlm.config.schema import Config

    with_generation(Config().generation, settings)
    if match is not None:
        from charlm.prediction.patterns.parsing import parse

        parse(match)
    return settings
