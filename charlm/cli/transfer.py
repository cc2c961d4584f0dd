"""Show the progress of a download."""

import sys

from tqdm import tqdm

from charlm.cli.screen import can_redraw
from charlm.cli.terminal import for_terminal


class TransferView:
    """Shows the progress of a download on a terminal."""

    def __init__(self, name: str, size: int, quiet: bool = False) -> None:
        is_hidden = quiet or not can_redraw(sys.stderr)
        self._bar = tqdm(
            desc=for_terminal(name, sys.stderr),
            total=size,
            unit="B",
            unit_scale=True,
            disable=is_hidden,
        )

    def __call__(self, size: int) -> None:
        self._bar.update(size)

    def close(self) -> None:
        """End the bar."""
        self._bar.close()
