"""Ctrl-C, and requests to end: as a flag to look at between steps, and elsewhere at once.

Such a request is SIGTERM, or the SIGHUP of a terminal that is closed.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_TERMINATION_SIGNALS = [
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
]
"""Windows has no SIGHUP."""


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
    """Catch Ctrl-C and requests to end inside the block, unless they are ignored.

    `nohup` has SIGHUP ignored, and a script SIGINT in what it starts in the background.
    """
    stop = StopRequest(on_request)
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield stop
        return
    # Keep signals that the caller ignores, and handlers that Python could not restore.
    kept = (signal.SIG_IGN, None)
    numbers = [n for n in (signal.SIGINT, *_TERMINATION_SIGNALS) if signal.getsignal(n) not in kept]
    previous_handlers = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in previous_handlers.items():
            is_obeyed = stop.requested and handler is _interrupt_once
            signal.signal(number, signal.SIG_IGN if is_obeyed else handler)


@contextmanager
def end_on_request() -> Iterator[None]:
    """Let a request to end raise `KeyboardInterrupt` inside the block, as Ctrl-C does.

    So what is open is closed, and temporary folders go.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [
        number for number in _TERMINATION_SIGNALS if signal.getsignal(number) == signal.SIG_DFL
    ]
    for number in numbers:
        signal.signal(number, _interrupt_once)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _interrupt_once(signal_number: int, frame: FrameType | None) -> None:
    """Obey the first request; another one is not to disturb what is tidied up."""
    for number in _TERMINATION_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
