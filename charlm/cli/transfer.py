"""Show the progress of a download."""

import sys
import time
from collections.abc import Callable

from charlm.cli.screen import can_encode, can_redraw, columns
from charlm.cli.status_line import BLOCKS, Field, LiveLine, bar, join_fitting
from charlm.cli.terminal import for_terminal

_REDRAW_SECONDS = 0.2
_MARGIN = 2
"""The first column, where the cursor waits, and the last one, where a terminal may wrap."""


class TransferView:
    """Shows how much of a download has arrived, on a terminal."""

    def __init__(
        self,
        name: str,
        size: int,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`size` is in bytes."""
        self._name, self._size, self._clock = name, size, clock
        self._live = None if quiet or not can_redraw(sys.stderr) else LiveLine(sys.stderr)
        self._arrived, self._drawn_at = 0, clock()

    def __call__(self, size: int) -> None:
        """Count bytes that have arrived."""
        self._arrived += size
        now = self._clock()
        if self._live is not None and now - self._drawn_at >= _REDRAW_SECONDS:
            self._drawn_at = now
            width, has_blocks = columns(sys.stderr), can_encode(BLOCKS, sys.stderr)
            amount = f"{self._arrived / 1e6:.1f} of {self._size / 1e6:.1f} MB"
            fields = [
                Field(bar(self._arrived / max(1, self._size), width, has_blocks=has_blocks), 1),
                Field(amount, 0),
                Field(for_terminal(self._name, sys.stderr), 2),
            ]
            self._live.draw(f" {join_fitting(fields, width - _MARGIN)}")

    def close(self) -> None:
        """Remove the line from the terminal."""
        if self._live is not None:
            self._live.erase()
