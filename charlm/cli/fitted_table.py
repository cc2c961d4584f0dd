"""Fit a table to the width of a terminal: drop columns and shorten names, without wrapping."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

_ANY_WIDTH = 10_000
_LONG_NAME, _SHORT_NAME = 24, 12
"""Widths to which names are shortened: before columns are dropped, and after all are dropped."""


def fit_table(
    table: Table, console: Console, expendable: Sequence[str], *, keeps_names: bool = False
) -> Table:
    """Return a table without the columns that do not fit in a line of the console.

    `expendable` are headings, the least important first. A column without a heading belongs to the
    one before it. A still narrower terminal wraps the lines, so no digit is lost.
    """
    if _fits(whole := _part(table, (), _ANY_WIDTH), console):
        return whole
    width = _ANY_WIDTH if keeps_names else _LONG_NAME
    for number in range(len(expendable) + 1):
        found = _part(table, expendable[:number], width, is_stacked=keeps_names)
        if _fits(found, console):
            return found
    if keeps_names:
        name = str(table.columns[0].header)
        return _part(table, (*expendable, name), width, is_stacked=True)
    return _part(table, expendable, _SHORT_NAME)


def shortened(text: str, width: int) -> str:
    """Shorten a text to at most `width` cells by omitting its middle."""
    if cell_len(text) <= width:
        return text
    head, tail = text[: len(text) // 2], text[len(text) // 2 :]
    while cell_len(head) + 1 + cell_len(tail) > max(1, width):
        head, tail = (head[:-1], tail) if len(head) > len(tail) else (head, tail[1:])
    return f"{head}…{tail}"


def width_of(table: Table, console: Console) -> int:
    """Return the number of cells that a table needs."""
    return Measurement.get(console, console.options.update(width=_ANY_WIDTH), table).maximum


def _fits(table: Table, console: Console) -> bool:
    return width_of(table, console) < console.width


def _part(table: Table, dropped: Sequence[str], width: int, *, is_stacked: bool = False) -> Table:
    """Return a table without the `dropped` columns, with names of at most `width` cells."""
    part = Table(box=None, pad_edge=False)
    kept, is_kept = [], True
    for column in table.columns:
        heading = str(column.header)
        is_kept = heading not in dropped if heading else is_kept
        if is_kept:
            lines = heading.replace(" ", "\n") if is_stacked else heading
            part.add_column(lines, justify=column.justify, no_wrap=True)
            is_name = column.justify == "left"
            kept.append(
                [shortened(str(cell), width if is_name else _ANY_WIDTH) for cell in column.cells]
            )
    for number, row in enumerate(table.rows):
        part.add_row(*(cells[number] for cells in kept), style=row.style)
    return part
