"""Print results to standard output, and everything else to standard error."""

import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

from charlm.cli.fitted_table import fit_table, width_of
from charlm.cli.screen import can_style
from charlm.cli.terminal import for_terminal, generated_for_terminal
from charlm.cli.wrapping import filled
from charlm.corpus.vocabulary import bytes_of

_LEAST_COLUMNS = 10
_STYLE = re.compile(r"(\x1b\[[\d;]*m)")
_WRAPPING = Console(width=10_000)
"""Console that Rich uses to wrap text; it prints nothing."""


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

    def print_wrapped(self, text: str, style: str = "") -> None:
        """Print a message; on a terminal, wrap it between words. Long words stay whole."""
        if self.file.isatty():
            text = filled(for_terminal(text, self._stream), self.width - 1)
        self.print(text, style=style)

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
    """Print commands to standard error below a heading, each on one line, to be copied."""
    console = PlainConsole(stderr=True)
    for line in (heading, *(f"  {command}" for command in commands)):
        console.print(line)


def results() -> PlainConsole:
    """Return a console for results: as wide as the terminal, or wide enough for all tables."""
    width = None if sys.stdout.isatty() else 10_000
    return PlainConsole(width=width)


def print_rows(rows: list[tuple[str, str]]) -> None:
    """Print names and values, one per line; on a terminal, wrap the values between words."""
    console = results()
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        if not sys.stdout.isatty():
            console.print(f"{name:<{width}}  {value}" if value else name)
            continue
        shown = for_terminal(value, sys.stdout)
        lines = wrap_words(shown, max(_LEAST_COLUMNS, console.width - width - 3))
        for number, line in enumerate(lines or [""]):
            start = Text(f"{'' if number else name:<{width}}", style="bold")
            console.print(Text.assemble(start, f"  {line}") if line else Text(name, style="bold"))


def print_table(
    table: Table, expendable: Sequence[str] | None = None, *, keeps_names: bool = False
) -> None:
    """Print a table to standard output, without the blanks that fill its last column.

    A narrow terminal gets it without the `expendable` columns, the first ones first. None wraps
    the cells instead. With `keeps_names`, the names in the first column are never shortened: on a
    narrow terminal they stand on a line each, above the row.
    """
    console, names = results(), list[str]()
    if expendable is not None:
        whole, table = table, fit_table(table, console, expendable, keeps_names=keeps_names)
        if table.columns[0].header != whole.columns[0].header:
            names = list(map(str, whole.columns[0].cells))
        console.width = max(console.width, width_of(table, console))
    with console.capture() as captured:
        console.print(table)
    lines = [without_final_blanks(line) for line in captured.get().splitlines()]
    indent, first = "  " if names else "", len(lines) - len(names)
    for number, line in enumerate(lines):
        if number >= first:
            console.file.write(f"{for_terminal(names[number - first], sys.stdout)}\n")
        console.file.write(f"{indent}{line}\n")
    console.file.flush()


def without_final_blanks(line: str) -> str:
    """Remove the blanks at the end of a line, also before the codes that end a style."""
    pieces = _STYLE.split(line)
    for place in range(len(pieces) - 1, -1, -2):
        pieces[place] = pieces[place].rstrip(" ")
        if pieces[place]:
            break
    return "".join(pieces)


def wrap_words(text: str, width: int) -> list[str]:
    """Return the lines of a text, wrapped between words to `width` cells."""
    return [line.plain.rstrip() for line in Text(text).wrap(_WRAPPING, max(1, width))]
