"""Fit a line of fields to a terminal, and redraw it in place."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from rich.cells import cell_len

_GAP = "  "
_LEAST_CELLS, _MOST_CELLS = 20, 30
_COLUMNS_PER_CELL = 5
"""Columns of the terminal for each cell of the bar, whose length has limits."""
BLOCKS = "█░"
"""The filled and the empty cells of a bar."""
ERASE = "\r\x1b[J"
"""Go to the first column, and erase from there to the end of the screen."""


@dataclass(frozen=True)
class Field:
    """A text that is shown whole or not at all."""

    text: str
    rank: int
    """Fields of a lower rank are kept first."""


def join_fitting(fields: Sequence[Field], width: int | None) -> str:
    """Join the fields that fit into `width` cells, in their order; None is any width."""
    kept: set[int] = set()
    taken = -len(_GAP)
    for place, field in sorted(enumerate(fields), key=lambda pair: pair[1].rank):
        needed = len(_GAP) + cell_len(field.text)
        if field.text and (width is None or taken + needed <= width):
            taken += needed
            kept.add(place)
    return _GAP.join(field.text for place, field in enumerate(fields) if place in kept)


def bar(fraction: float, width: int, *, has_blocks: bool) -> str:
    """Draw a bar of 20 to 30 cells for a terminal of this width."""
    cells = min(_MOST_CELLS, max(_LEAST_CELLS, width // _COLUMNS_PER_CELL))
    filled = int(cells * min(1.0, max(0.0, fraction)))
    full, empty = tuple(BLOCKS) if has_blocks else ("#", "-")
    return full * filled + empty * (cells - filled)


class LiveLine:
    """The last line of a terminal, redrawn in place.

    The cursor waits in the first column. If the terminal becomes narrower and wraps the
    line, the cursor stays at its beginning, and erasing from there removes all of it, including
    the `^C` that a terminal writes at the cursor.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_drawn = False

    def draw(self, text: str) -> None:
        """Replace the line."""
        self._stream.write(f"{ERASE}{text}\r")
        self._stream.flush()
        self._is_drawn = True

    def erase(self) -> None:
        """Remove the line, and leave the cursor where it began."""
        if self._is_drawn:
            self._stream.write(ERASE)
            self._stream.flush()
            self._is_drawn = False
