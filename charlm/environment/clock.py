"""Measure time without the periods in which the process is stopped or the machine sleeps.

Ctrl-Z or SIGSTOP stops a process, and SIGCONT continues it. The clock then subtracts the time since
its last reading, except the time in which the process computed.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_LONG = 600.0
"""Seconds without computing: where no signal says so, as on Windows, the machine has slept."""


class _Looks:
    """What is known of the time since the process began to look at the clock."""

    def __init__(self) -> None:
        self.away = self.unreported = self.latest = 0.0
        self.at, self.computed = time.perf_counter(), time.thread_time()
        self.asleep = _seconds_asleep()

    def look(self, has_continued: bool = False) -> None:
        """Take off what the process has not had since the last look."""
        at, computed = time.perf_counter(), time.thread_time()
        if at < self.at:  # a signal came between these lines, and has looked itself
            return
        idle = (at - self.at) - (computed - self.computed)
        self.at, self.computed = at, computed
        if idle > (0.0 if has_continued else _LONG):
            self.away += idle
            self.unreported += idle


def _seconds_asleep() -> float:
    """Return how long the machine has slept, where a clock tells; `perf_counter` leaves it out."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


_looks = _Looks()


def seconds_awake() -> float:
    """Return seconds like `time.perf_counter`, without those in which the process was stopped."""
    if threading.current_thread() is threading.main_thread():
        _looks.look()
    # A signal may come between any two lines: no time is given back.
    _looks.latest = max(_looks.latest, time.perf_counter() - _looks.away)
    return _looks.latest


def take_pause() -> float:
    """Return how long the process was stopped, or the machine slept, since the last call."""
    asleep = _seconds_asleep()
    pause, _looks.unreported = _looks.unreported + asleep - _looks.asleep, 0.0
    _looks.asleep = asleep
    return pause


@contextmanager
def noticing_pauses() -> Iterator[None]:
    """Detect stops of the process inside the block; it works only in the main thread."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or not hasattr(signal, "SIGCONT"):
        yield
        return

    def go_on(number: int, frame: FrameType | None) -> None:
        _looks.look(has_continued=True)
        if callable(before):
            before(number, frame)

    before = signal.getsignal(signal.SIGCONT)
    if before is None:  # not set from Python, which could not put it back
        yield
        return
    _looks.look()
    take_pause()
    signal.signal(signal.SIGCONT, go_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGCONT, before)
