"""Show a line in a notebook, and replace it in place."""

import sys
from collections.abc import Callable
from typing import Any


def in_notebook() -> bool:
    """Return whether this process computes the cells of a notebook.

    IPython in a terminal is no notebook, and nor is a command that a cell starts.
    """
    if "IPython" not in sys.modules:  # a kernel has imported it
        return False
    from IPython.core.getipython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None


class NotebookLine:
    """A line of the output of a cell; the last version of it stays in the notebook."""

    def __init__(self) -> None:
        self._handle: Any = None

    def draw(self, text: str) -> None:
        """Replace the line."""
        if self._handle is None:
            from IPython import display

            make_handle: Callable[[], Any] = display.DisplayHandle
            self._handle = make_handle()
            self._handle.display({"text/plain": text}, raw=True)
        else:
            self._handle.update({"text/plain": text}, raw=True)

    def erase(self) -> None:
        """Leave the line where it is: messages are shown below it."""
