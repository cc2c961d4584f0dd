"""Follow work of the worker thread from the event loop, and give it up when the client leaves."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

from starlette.requests import Request

from charlm.server.api_error import ApiError
from charlm.server.work import Work
from charlm.server.worker import Worker

AnyWork = TypeVar("AnyWork", bound=Work)

_CLIENT_CLOSED = 499
"""Status of a request whose client has left, as nginx counts it; nobody receives it."""


class Followed:
    """A flag that the worker thread raises and the event loop waits for."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.changed = asyncio.Event()

    def notify(self) -> None:
        """Raise the flag, from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.changed.set)


async def follow(
    works: Sequence[Work], followed: Followed, request: Request | None = None
) -> AsyncIterator[None]:
    """Yield whenever something is new, and after the end of the works.

    The works are given up when the caller stops to iterate, or the client of `request` leaves,
    whose body has been read. Raises `ApiError` if a work has failed.
    """
    left = asyncio.create_task(_leaving(request, followed)) if request is not None else None
    try:
        is_finished = False
        while not is_finished:
            is_finished = all(work.is_finished for work in works)
            for work in works:
                if work.error is not None:
                    raise work.error
            if left is not None and left.done():
                raise ApiError(_CLIENT_CLOSED, "the client went away")
            yield
            if not is_finished:
                await followed.changed.wait()
                followed.changed.clear()
    finally:
        give_up(works)
        if left is not None:
            left.cancel()


async def completed(
    worker: Worker, make: Callable[[Callable[[], None]], AnyWork], request: Request
) -> AnyWork:
    """Return the work that `make` returns for its `on_change`, once the worker has done it."""
    followed = Followed(asyncio.get_running_loop())
    work = make(followed.notify)
    worker.submit([work])
    async for _ in follow([work], followed, request):
        pass
    return work


def give_up(works: Sequence[Work]) -> None:
    """Let the worker thread drop works; those that are finished stay so."""
    for work in works:
        work.is_wanted = False


async def _leaving(request: Request, followed: Followed) -> None:
    """Return when the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    followed.notify()
