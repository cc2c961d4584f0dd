"""Print results to standard output, and everything else to standard error."""

import sys
from typing import Any, TextIO, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

from charlm.cli.terminal import for_terminal, generated_for_terminal
from charlm.corpus.vocabulary import bytes_of


class PlainConsole(Console):
    """Print text without markup, emoji codes or terminal control characters.

    Rich drops some control characters and expands tabs, so it is bypassed except on a terminal.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, soft_wrap=True, **options)

    def print(self, *objects: Any, end: str = "\n", **options: Any) -> None:
        """Print a text; a pipe or a file receives it unchanged."""
        if len(objects) != 1 or not isinstance(objects[0], str) or self.file.isatty():
            super().print(*objects, end=end, **options)
        elif not self.quiet:
            self.file.write(f"{objects[0]}{end}")
            self.file.flush()

    def print_generated(self, text: str, end: str = "\n", style: str = "") -> None:
        """Print generated text, with the format characters that its script needs.

        A terminal gets U+FFFD for raw bytes, which are surrogates in the text; a pipe gets them.
        """
        if self.file.isatty():
            text = bytes_of(text).decode("utf-8", "replace")
            super().print(Text(generated_for_terminal(text, self._stream), style=style), end=end)
        else:
            self.print(text, end=end)

    @property
    def _stream(self) -> TextIO:
        return cast("TextIO", self.file)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(for_terminal(text, self._stream), **options)


def print_message(text: str) -> None:
    """Print a message to standard error, separate from results."""
    PlainConsole(stderr=True).print(text)


def results() -> PlainConsole:
    """Return a console for results: as wide as the terminal, or wide enough for all tables."""
    width = None if sys.stdout.isatty() else 10_000
    return PlainConsole(width=width)


def print_rows(rows: list[tuple[str, str]]) -> None:
    """Print names and values as a table, or as plain lines to a pipe or a file."""
    console = results()
    if not sys.stdout.isatty():
        width = max((len(name) for name, _ in rows), default=0)
        for name, value in rows:
            console.print(f"{name:<{width}}  {value}")
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, value in rows:
        table.add_row(name, value)
    console.print(table)
