"""Handle Ctrl-C and termination requests: with a flag between steps, or at once elsewhere.

A termination request is SIGTERM, or SIGHUP when a terminal is closed.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_TERMINATION_SIGNALS = [
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
]
"""Signals of termination requests; Windows has no SIGHUP."""


class StopRequest:
    """A signal handler that records whether somebody has asked to stop."""

    def __init__(self, on_request: Callable[[], None]) -> None:
        self.requested = False
        self._on_request = on_request

    def __call__(self, signal_number: int, frame: FrameType | None) -> None:
        """Record the first request; obey a second Ctrl-C at once.

        Schedulers may send SIGTERM more than once for one request.
        """
        if self.requested and signal_number == signal.SIGINT:
            raise KeyboardInterrupt
        if self.requested:
            return
        self.requested = True
        self._on_request()


@contextmanager
def stop_on_interrupt(on_request: Callable[[], None]) -> Iterator[StopRequest]:
    """Catch Ctrl-C and termination requests inside the block, unless they are ignored.

    `nohup` lets a program ignore SIGHUP, and a shell script lets background jobs ignore SIGINT.
    """
    stop = StopRequest(on_request)
    if (
        threading.current_thread() is not threading.main_thread()
    ):  # only the main thread gets signals
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
    """Let a termination request raise `KeyboardInterrupt` inside the block, as Ctrl-C does.

    So files are closed and temporary folders are removed.
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
    """Obey the first request, and ignore further ones during the clean-up."""
    for number in _TERMINATION_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
