"""Ctrl-C, and a polite request to end, as a flag to look at between steps."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether somebody asked to stop."""

    def __init__(self, on_request: Callable[[], None]) -> None:
        self.requested = False
        self._on_request = on_request

    def __call__(self, signal_number: int, frame: FrameType | None) -> None:
        """Note the first request; obey a second Ctrl-C at once.

        Schedulers send SIGTERM to all processes and then to each: that is one request.
        """
        if self.requested and signal_number == signal.SIGINT:
            raise KeyboardInterrupt
        if self.requested:
            return
        self.requested = True
        self._on_request()


@contextmanager
def stop_on_interrupt(on_request: Callable[[], None]) -> Iterator[StopRequest]:
    """Catch requests to end inside the block: Ctrl-C, SIGTERM, and a terminal that is closed."""
    stop = StopRequest(on_request)
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield stop
        return
    names = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
