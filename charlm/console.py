"""Where charlm prints: results to standard output, all else to standard error."""

import sys
from typing import Any, TextIO, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

from charlm.terminal import for_terminal


class PlainConsole(Console):
    """Prints text as it is: no markup and no emoji in it, and no orders to a terminal."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, soft_wrap=True, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(for_terminal(text, cast("TextIO", self.file)), **options)


def message(text: str) -> None:
    """Print a line for the person at the terminal, out of the way of results."""
    PlainConsole(stderr=True).print(text)


def results() -> PlainConsole:
    """Return a console for results: as wide as the terminal, and wide where there is none."""
    width = None if sys.stdout.isatty() else 160
    return PlainConsole(width=width)


def named_rows(rows: list[tuple[str, str]]) -> Table:
    """Return a table of a name and what it is, a row each."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, value in rows:
        table.add_row(name, value)
    return table
