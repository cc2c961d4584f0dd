"""Print a text in which surprising characters are coloured, or marked on a line below."""

import sys
from collections.abc import Iterator
from functools import cache

import numpy as np
from rich.cells import cell_len

from charlm.analysis.surprise import LEVELS, Surprise
from charlm.cli.screen import can_encode, can_style, columns
from charlm.cli.terminal import visible

_COLOURS = ("", "\x1b[30;46m", "\x1b[30;43m", "\x1b[97;41m")
"""Black on cyan, black on yellow, white on red."""
_PLAIN = "\x1b[0m"
_TEXT, _MARKS = "  ", "^ "
"""What begins a line of text, and a line of marks below it."""
_MOST_BITS = 9
_TAB = "    "


def show_text(surprise: Surprise) -> None:
    """Print the text; the legend is that of `legend`."""
    is_coloured = can_style(sys.stdout)
    for line in (_coloured if is_coloured else _marked)(surprise):
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def legend() -> str:
    """Return what the colours, or the marks, mean."""
    low, middle, high = (f"{bits:g}" for bits in LEVELS)
    if not can_style(sys.stdout):
        return f"a digit below a character: its bits, from {low} on; 9 is 9 or more"
    names = (f"{low} to {middle}", f"{middle} to {high}", f"{high} and more")
    shown = (f"{code} {name} {_PLAIN}" for code, name in zip(_COLOURS[1:], names, strict=True))
    return f"{' '.join(shown)} bits"


def _coloured(surprise: Surprise) -> Iterator[str]:
    text, levels = surprise.analysed.text, surprise.levels
    for start, end in _lines(surprise):
        bounds = np.flatnonzero(np.diff(levels[start:end])) + start + 1
        pieces = []
        for first, last in zip([start, *bounds.tolist()], [*bounds.tolist(), end], strict=True):
            level = int(levels[first])
            shown = "".join(_shown(one, is_marked=level > 0)[0] for one in text[first:last])
            pieces.append(f"{_COLOURS[level]}{shown}{_PLAIN}" if level else shown)
        yield "".join(pieces)


def _marked(surprise: Surprise) -> Iterator[str]:
    text, bits, levels = surprise.analysed.text, surprise.analysed.bits, surprise.levels
    width = columns(sys.stdout) - len(_TEXT) - 1 if sys.stdout.isatty() else len(text) * 10
    for start, end in _lines(surprise):
        shown, marks, used = list[str](), list[str](), 0
        for place in range(start, end):
            level = int(levels[place])
            symbol, cells = _shown(text[place], is_marked=level > 0)
            if used + cells > width and shown:
                yield from _both(shown, marks)
                shown, marks, used = [], [], 0
            digit = str(min(_MOST_BITS, int(bits[place]))) if level else " "
            shown.append(symbol)
            used += cells
            if cells:
                marks.append(digit.ljust(cells))
            elif marks and digit > marks[-1][0]:  # it stands on the character before
                marks[-1] = digit + marks[-1][1:]
        yield from _both(shown, marks)


def _both(shown: list[str], marks: list[str]) -> Iterator[str]:
    yield f"{_TEXT}{''.join(shown)}".rstrip()
    below = "".join(marks).rstrip()
    if below:
        yield f"{_MARKS}{below}"


def _lines(surprise: Surprise) -> Iterator[tuple[int, int]]:
    starts = surprise.analysed.line_starts.tolist()
    yield from zip(starts, [*starts[1:], len(surprise.analysed)], strict=True)


@cache
def _shown(character: str, is_marked: bool) -> tuple[str, int]:
    """Return a character as a terminal shows it, and how many cells that takes."""
    if character == "\n":
        sign = "↵" if can_encode("↵", sys.stdout) else "$"
        return (sign, 1) if is_marked else ("", 0)
    shown = _TAB if character == "\t" else visible(character)
    return shown, cell_len(shown)
