"""Print the events of training as JSON lines, for programs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from charlm.distributed.launch import launched
from charlm.errors import CharlmError
from charlm.training.event_json import EventJson, to_line
from charlm.training.events import Event, Stopping


class JsonEvents:
    """Prints an object per line on standard output; `view` gets each event as well.

    The last line is `finished`, `stopped` or `error`.
    """

    def __init__(self, view: Callable[[Event], None]) -> None:
        self._view = view
        self._json = EventJson()
        self._has_stopped = False

    def __call__(self, event: Event) -> None:
        self._has_stopped = isinstance(event, Stopping)
        if (fields := self._json(event)) is not None:
            _print(fields)
        self._view(event)

    @contextmanager
    def reporting_errors(self) -> Iterator[None]:
        """Print an `error` line for what ends the block, and raise it again."""
        try:
            yield
        except CharlmError as error:
            self._report(str(error))
            raise
        except KeyboardInterrupt:
            if not self._has_stopped:
                self._report("interrupted; nothing was saved since the last checkpoint")
            raise
        except Exception as error:
            self._report(f"{type(error).__name__}: {error}")
            raise

    def _report(self, message: str) -> None:
        if launched().rank == 0:
            _print(self._json.object("error", {"error": message}))


def _print(fields: dict[str, Any]) -> None:
    print(to_line(fields), flush=True)
