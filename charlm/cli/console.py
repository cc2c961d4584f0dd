"""Print results to standard output, and everything else to standard error."""

import re
import sys
import textwrap
from collections.abc import Iterable
from typing import Any, TextIO, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

from charlm.cli.screen import can_style
from charlm.cli.terminal import for_terminal, generated_for_terminal
from charlm.corpus.vocabulary import bytes_of

_LEAST_COLUMNS = 10
_FINAL_BLANKS = re.compile(r" +(?=(?:\x1b\[[\d;]*m| )*$)")
"""Blanks that end a line, perhaps before the code that ends a style."""
_WRAPPING = Console(width=10_000)
"""The console that Rich needs to wrap a text; it prints nothing."""


class PlainConsole(Console):
    """Print text without markup, emoji codes or terminal control characters.

    Rich drops some control characters and expands tabs, so it is bypassed except on a terminal.
    """

    def __init__(self, **options: Any) -> None:
        stream = sys.stderr if options.get("stderr") else sys.stdout
        options.setdefault("color_system", "auto" if can_style(stream) else None)
        super().__init__(
            highlight=False,
            markup=False,
            emoji=False,
            soft_wrap=True,
            force_jupyter=False,
            **options,
        )

    def print(self, *objects: Any, end: str = "\n", **options: Any) -> None:
        """Print a text; a pipe or a file receives it unchanged."""
        if len(objects) != 1 or not isinstance(objects[0], str) or self.file.isatty():
            super().print(*objects, end=end, **options)
        elif not self.quiet:
            self.file.write(f"{objects[0]}{end}")
            self.file.flush()

    def print_wrapped(self, text: str) -> None:
        """Print a sentence, on a terminal wrapped at words; one longer than a line stays whole."""
        if self.file.isatty() and "\n" not in text:
            width = max(_LEAST_COLUMNS, self.width - 1)
            text = textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)
        self.print(text)

    def print_generated(self, text: str, end: str = "\n", style: str = "") -> None:
        """Print generated text, with the format characters that its script needs.

        A pipe gets it unchanged.
        """
        if self.file.isatty():
            super().print(Text(sample_for(self._stream, text), style=style), end=end)
        else:
            self.print(text, end=end)

    @property
    def _stream(self) -> TextIO:
        return cast("TextIO", self.file)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(for_terminal(text, self._stream), **options)


def sample_for(stream: TextIO, text: str) -> str:
    """Return a sample in the form for `stream`: a pipe gets it unchanged.

    A terminal gets U+FFFD for raw bytes, which are surrogates in the text (PEP 383).
    """
    if not stream.isatty():
        return text
    return generated_for_terminal(bytes_of(text).decode("utf-8", "replace"), stream)


def print_message(text: str) -> None:
    """Print a message to standard error, separate from results."""
    PlainConsole(stderr=True).print_wrapped(text)


def print_commands(heading: str, commands: Iterable[str]) -> None:
    """Print commands to standard error below a heading, each on a line to be copied whole."""
    console = PlainConsole(stderr=True)
    for line in (heading, *(f"  {command}" for command in commands)):
        console.print(line)


def results() -> PlainConsole:
    """Return a console for results: as wide as the terminal, or wide enough for all tables."""
    width = None if sys.stdout.isatty() else 10_000
    return PlainConsole(width=width)


def print_rows(rows: list[tuple[str, str]]) -> None:
    """Print names and values: wrapped at words on a terminal, a line each to a pipe or a file."""
    console = results()
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        if not sys.stdout.isatty():
            console.print(f"{name:<{width}}  {value}" if value else name)
            continue
        shown = for_terminal(value, sys.stdout)
        lines = wrapped(shown, max(_LEAST_COLUMNS, console.width - width - 3))
        for number, line in enumerate(lines or [""]):
            start = Text(f"{'' if number else name:<{width}}", style="bold")
            console.print(Text.assemble(start, f"  {line}") if line else Text(name, style="bold"))


def print_table(table: Table) -> None:
    """Print a table to standard output, without the blanks that fill its last column."""
    console = results()
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        console.file.write(_FINAL_BLANKS.sub("", line) + "\n")
    console.file.flush()


def wrapped(text: str, width: int) -> list[str]:
    """Return the lines of a text, wrapped at words to so many cells, without trailing blanks."""
    return [line.plain.rstrip() for line in Text(text).wrap(_WRAPPING, max(1, width))]
