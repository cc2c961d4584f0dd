"""Format numbers and small tables for people."""

from collections.abc import Iterable
from html import escape

_MAX_SHOWN_CHARACTERS = 60
"""Length of a name or a text in one line that describes an object."""


def count(number: int, noun: str) -> str:
    """Format a number of things: 1 character, 1,200 characters."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def option_duration(seconds: float) -> str:
    """Format seconds in the syntax of options: 90 as 1m30s, 5400 as 1h30m, 0.5 as 0.5s."""
    minutes, rest = divmod(round(seconds, 3), 60)
    hours, minutes = divmod(int(minutes), 60)
    amounts = ((f"{hours}", "h"), (f"{minutes}", "m"), (f"{round(rest, 3):g}", "s"))
    return "".join(amount + unit for amount, unit in amounts if amount != "0") or "0s"


def age(seconds: float) -> str:
    """Format an age in its largest unit: 42 s, 3 min, 5 h, 1 day, 12 days."""
    for size, unit in ((86_400, ""), (3_600, "h"), (60, "min")):
        if seconds >= size:
            number = int(seconds // size)
            return f"{number} {unit}" if unit else count(number, "day")
    return f"{max(0, int(seconds))} s"


def rough_duration(seconds: float) -> str:
    """Format seconds as `option_duration`, in whole seconds from ten on: 4.1s, 13s, 2m30s."""
    return option_duration(round(seconds, 1) if seconds < 9.95 else round(seconds, 0))


def duration(seconds: float) -> str:
    """Format seconds as 0:42, 3:05 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def shorten(text: str) -> str:
    """Return a text in one line; the middle of a long one is left out."""
    line = " ".join(text.split())
    if len(line) <= _MAX_SHOWN_CHARACTERS:
        return line
    half = _MAX_SHOWN_CHARACTERS // 2
    return f"{line[: half - 1]}…{line[-half:]}"


def html_table(rows: Iterable[tuple[str, object]]) -> str:
    """Return names and values as a table in HTML, for notebooks; rows without a value are left out.

    Text is escaped. Lone surrogates, which no notebook can store, become question marks.
    """
    left = "text-align:left;white-space:pre-wrap"
    cells = "".join(
        f'<tr><th style="{left}">{escape(name)}</th><td style="{left}">{escape(str(value))}</td>'
        "</tr>"
        for name, value in rows
        if value not in ("", None)
    )
    return f"<table>{cells}</table>".encode("utf-8", "replace").decode()


def short_count(number: float) -> str:
    """Format a number in two or three digits: 850, 8.2k, 82k, 1.2M."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.{1 if number < 9.95 * size else 0}f}{unit}"
    return f"{number:.0f}"


def epoch_count(number: float) -> str:
    """Format a number of epochs: whole ones without a point, others with one digit: 40, 55.6."""
    return f"{number:,.0f}" if number.is_integer() else f"{number:,.1f}"
