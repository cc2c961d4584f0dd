"""The queue of the thread that computes: who has left, or waited too long, has no place in it."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from charlm.server.api_error import ApiError
from charlm.server.limits import Limits
from charlm.server.work import Work
from charlm.server.worker import Worker

PATIENCE_SECONDS = 30.0


@dataclass(eq=False)
class Endless(Work):
    """Work that ends when nobody wants it."""

    changed: threading.Event = field(default_factory=threading.Event)

    @property
    def is_finished(self) -> bool:
        return False

    def steps(self) -> Iterator[None]:
        while True:
            time.sleep(0.001)
            yield


def endless(max_seconds: float = PATIENCE_SECONDS) -> Endless:
    changed = threading.Event()
    return Endless(changed.set, max_seconds, changed=changed)


def test_who_has_left_does_not_wait() -> None:
    """Requests whose client has left leave the queue to others, before they reach its head."""
    worker = Worker(Limits(waiting_requests=2))
    first, second = endless(), endless()
    worker.submit([first, second])
    with pytest.raises(ApiError, match="busy"):
        worker.submit([endless()])
    second.is_wanted = False
    worker.submit([endless()])
    with pytest.raises(ApiError, match="busy"):
        worker.submit([endless()])


def test_waiting_takes_time_too() -> None:
    """A request that waits for a place longer than it may ends with an error meanwhile."""
    worker = Worker(Limits(active_choices=1))
    works = [endless(), endless(max_seconds=0.05), endless()]
    worker.submit([*works])
    worker.start()
    try:
        assert works[1].changed.wait(PATIENCE_SECONDS)
    finally:
        worker.end()
        worker.join(PATIENCE_SECONDS)
    assert works[1].error is not None
    assert works[1].error.code == "timeout"
    assert "busy" in str(works[1].error)
