"""The thread that computes: it gives each request its turn, in slices of some milliseconds."""

import threading
import time
from collections import deque
from collections.abc import Hashable, Iterator

from charlm.errors import CharlmError
from charlm.server.api_error import ApiError
from charlm.server.batch import Batch
from charlm.server.limits import Limits
from charlm.server.work import Generation, Work

SLICE_SECONDS = 0.02
"""Time for which choices are generated before others have their turn: one event of a stream."""
_READING_SECONDS = 0.02
"""Time for which prompts are read before choices have their turn."""


class Worker:
    """A thread with a queue: places for a number of choices, and requests that wait for one.

    PyTorch and the kernels release Python's lock while they compute, so that the server answers
    meanwhile.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._changed = threading.Condition()
        self._waiting: deque[Work] = deque()
        self._is_ending = False
        self._active: list[Work] = []
        self._reading: deque[tuple[Work, Iterator[None]]] = deque()
        self._batches: dict[Hashable, Batch] = {}
        self._thread = threading.Thread(target=self._run, name="charlm-worker", daemon=True)

    @property
    def num_active(self) -> int:
        """Number of requests that have a place."""
        return len(self._active)

    @property
    def is_ending(self) -> bool:
        """Whether it takes no more work: it was told to end, or a bug has ended it."""
        return self._is_ending

    def start(self) -> None:
        self._thread.start()

    def submit(self, works: list[Work]) -> None:
        """Queue the works of a request; raises `ApiError` if the queue is full."""
        with self._changed:
            if self._is_ending:
                raise ApiError(503, "the server is stopping")
            self._drop_closed()
            if len(self._waiting) + len(works) > self._limits.waiting_requests:
                raise ApiError(429, "the server is busy; try again in a second", code="busy")
            self._waiting.extend(works)
            self._changed.notify()

    def end(self) -> None:
        """End all work, and the thread when its slice is done."""
        with self._changed:
            self._is_ending = True
            self._changed.notify()

    def join(self, timeout: float) -> None:
        self._thread.join(timeout)

    def _run(self) -> None:
        try:
            while self._admit():
                self._read()
                self._generate()
                self._leave()
        finally:  # also after a bug, whose traceback Python prints: nobody waits for ever
            with self._changed:
                self._is_ending = True
            for work in (*self._active, *self._waiting):
                work.fail(ApiError(503, "the server is stopping"))

    def _admit(self) -> bool:
        """Give waiting work the free places; wait for some. Return whether to continue."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_ending or self._active or self._waiting)
            free = self._limits.active_choices - sum(work.num_places for work in self._active)
            while self._waiting and (free >= self._waiting[0].num_places or not self._active):
                work = self._waiting.popleft()
                if work.is_open:
                    free -= work.num_places
                    self._active.append(work)
                    self._reading.append((work, work.steps()))
            return not self._is_ending

    def _drop_closed(self) -> None:
        """Take work that nobody wants any more out of the queue."""
        self._waiting = deque(work for work in self._waiting if work.is_open)

    def _read(self) -> None:
        """Read prompts, a piece each in turn."""
        end = time.perf_counter() + _READING_SECONDS
        while self._reading and time.perf_counter() < end:
            work, steps = self._reading.popleft()
            try:
                if work.is_open:
                    next(steps)
                    self._reading.append((work, steps))
            except StopIteration:
                if isinstance(work, Generation):
                    self._join(work)
            except CharlmError as reason:
                work.fail(ApiError(400, str(reason)))

    def _join(self, work: Generation) -> None:
        batch = self._batches.setdefault(work.sampling.key, Batch(work.sampling))
        for member in work.members:
            batch.join(member)
        work.members.clear()  # the batch has the states now

    def _generate(self) -> None:
        """Generate a slice of each batch."""
        for key, batch in list(self._batches.items()):
            try:
                batch.advance(SLICE_SECONDS / len(self._batches))
            except CharlmError as reason:  # the model's output is not finite
                del self._batches[key]
                for work in self._active:
                    if isinstance(work, Generation) and {*work.choices} & {*batch.choices}:
                        work.fail(ApiError(500, str(reason)))
            else:
                if not batch.is_running:
                    del self._batches[key]

    def _leave(self) -> None:
        """Give the places of ended work back, in the queue, too."""
        for work in self._active:
            work.check_time("ask for fewer characters")
        with self._changed:
            waiting = list(self._waiting)
        for work in waiting:
            work.check_time("the server is busy, try again later")
        with self._changed:
            self._drop_closed()
        self._active = [work for work in self._active if work.is_open and not work.is_finished]
