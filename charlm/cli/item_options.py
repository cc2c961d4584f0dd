"""The options of `generate` that need --items."""

from typing import Annotated

import typer

_PANEL = "Items of a list"

NumItems = Annotated[
    int | None,
    typer.Option(
        "--items",
        metavar="N",
        min=1,
        help="Generate N whole items, such as names: records, or lines of running text.",
        rich_help_panel=_PANEL,
    ),
]
New = Annotated[
    bool,
    typer.Option(
        "--new", help="Only items that the training text does not contain.", rich_help_panel=_PANEL
    ),
]
NotIn = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE",
        help="Only items that this file does not contain, either. Repeatable.",
        rich_help_panel=_PANEL,
    ),
]
Unique = Annotated[
    bool, typer.Option("--unique", help="Each item only once.", rich_help_panel=_PANEL)
]
MinLength = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        help="Only items of at least N characters (default: 1).",
        rich_help_panel=_PANEL,
    ),
]
MaxLength = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Only items of at most N characters (default: 10,000).",
        rich_help_panel=_PANEL,
    ),
]
Suffix = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT", help="Only items that end with this text.", rich_help_panel=_PANEL
    ),
]
Match = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX",
        help="Only items that match this regular expression as a whole (Python's).",
        rich_help_panel=_PANEL,
    ),
]
