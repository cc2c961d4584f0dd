"""Print the events of training as JSON lines, for programs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from charlm.cli.json_errors import print_json_error
from charlm.distributed.launch import launched
from charlm.environment.memory import is_out_of_memory
from charlm.errors import CharlmError
from charlm.training.event_json import EventJson, to_line
from charlm.training.events import Stopping
from charlm.training.series_events import SeriesEvent


class JsonEvents:
    """Prints an object per line on standard output; `view` gets each event as well.

    The last line is `finished` or `stopped`, or an error, which the command group prints.
    """

    def __init__(self, view: Callable[[Any], None]) -> None:
        self._view = view
        self._json = EventJson()
        self._has_stopped = False

    def __call__(self, event: SeriesEvent) -> None:
        self._has_stopped = isinstance(event, Stopping)
        if (fields := self._json(event)) is not None:
            print(to_line(fields), flush=True)
        self._view(event)

    @contextmanager
    def reporting_errors(self) -> Iterator[None]:
        """Print interruptions that save nothing, and bugs, as errors; raise them again."""
        try:
            yield
        except KeyboardInterrupt:
            if not self._has_stopped and launched().rank == 0:
                print_json_error("interrupted; nothing was saved since the last checkpoint")
            raise
        except Exception as error:
            is_printed = isinstance(error, CharlmError) or is_out_of_memory(error)
            if not is_printed and launched().rank == 0:
                print_json_error(f"{type(error).__name__}: {error}")
            raise
