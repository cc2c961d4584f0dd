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

_SLEEP_SECONDS = 600.0
"""Time without computing that counts as sleep where no signal reports it (Windows)."""


class _PauseClock:
    """Pauses of the process, and the last reading of the clock."""

    def __init__(self) -> None:
        self.paused_seconds = self.unreported = self.latest = 0.0
        self.read_at, self.cpu_seconds = time.perf_counter(), time.thread_time()
        self.asleep = _seconds_asleep()

    def update(self, has_continued: bool = False) -> None:
        """Add the pause since the last reading, if there was one."""
        now, cpu_seconds = time.perf_counter(), time.thread_time()
        if now < self.read_at:  # a signal handler updated it between these lines
            return
        idle = (now - self.read_at) - (cpu_seconds - self.cpu_seconds)
        self.read_at, self.cpu_seconds = now, cpu_seconds
        if idle > (0.0 if has_continued else _SLEEP_SECONDS):
            self.paused_seconds += idle
            self.unreported += idle


def _seconds_asleep() -> float:
    """Return how long the machine has slept, if a clock tells; `perf_counter` omits sleep."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


_clock = _PauseClock()


def seconds_awake() -> float:
    """Return seconds like `time.perf_counter`, without those in which the process was stopped."""
    if threading.current_thread() is threading.main_thread():
        _clock.update()
    # A signal may arrive between any two lines, but the clock never goes backwards.
    _clock.latest = max(_clock.latest, time.perf_counter() - _clock.paused_seconds)
    return _clock.latest


def take_pause() -> float:
    """Return how long the process was stopped, or the machine slept, since the last call."""
    asleep = _seconds_asleep()
    pause, _clock.unreported = _clock.unreported + asleep - _clock.asleep, 0.0
    _clock.asleep = asleep
    return pause


@contextmanager
def detect_pauses() -> Iterator[None]:
    """Detect stops of the process inside the block; it works only in the main thread."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or not hasattr(signal, "SIGCONT"):
        yield
        return

    def on_continue(number: int, frame: FrameType | None) -> None:
        _clock.update(has_continued=True)
        if callable(previous_handler):
            previous_handler(number, frame)

    previous_handler = signal.getsignal(signal.SIGCONT)
    if previous_handler is None:  # not set from Python, which cannot restore it
        yield
        return
    _clock.update()
    take_pause()
    signal.signal(signal.SIGCONT, on_continue)
    try:
        yield
    finally:
        signal.signal(signal.SIGCONT, previous_handler)
