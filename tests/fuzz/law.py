"""The law of hostile input: it works, or it is refused in a line, and soon."""

import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread

from charlm.errors import CharlmError, CharlmWarning

MOST_TO_SAY = 1000
"""Characters of a message for one mistake, or of its remedy."""
MOST_SECONDS = 10
"""For one input; a busy machine takes a while for the first training step."""


class HangError(BaseException):
    """No `Exception`, which charlm may catch, and hypothesis would wait for again and again."""


@contextmanager
def timed() -> Iterator[None]:
    """Stop what takes more than MOST_SECONDS, with a traceback of where it is."""
    if not hasattr(signal, "setitimer") or current_thread() is not main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise HangError(f"still busy after {MOST_SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def lawful(action: Callable[[], object]) -> bool:
    """Hold an action to the law, and say whether it worked."""
    start = time.monotonic()
    try:
        with timed(), warnings.catch_warnings():
            warnings.simplefilter("ignore", CharlmWarning)  # they refuse nothing
            action()
    except CharlmError as error:
        mistakes = str(error).split("; ")
        assert len(str(error)) > 20 and len(mistakes) <= 50, "it says what is wrong, and not all"
        assert max(map(len, mistakes)) < MOST_TO_SAY, str(error)
        worked = False
    else:
        worked = True
    assert time.monotonic() - start < MOST_SECONDS  # where nothing stops it
    return worked
