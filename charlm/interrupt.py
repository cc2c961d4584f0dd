"""Ctrl-C, and a polite request to end, as a flag to look at between steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether somebody asked to stop."""

    requested = False

    def __call__(self, signal_number: int, frame: FrameType | None) -> None:
        if self.requested:  # a second time: at once
            raise KeyboardInterrupt
        self.requested = True


@contextmanager
def stop_on_interrupt() -> Iterator[StopRequest]:
    """Catch SIGINT and SIGTERM inside the block, the second of them excepted."""
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield stop
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
