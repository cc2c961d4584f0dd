"""Connections that end if their client does nothing, so that it takes no place for ever."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

IDLE_SECONDS = 30.0
"""Time between two looks at a connection; it ends at the second one that finds it idle."""
_BUSY = object()


class Connection(H11Protocol):
    """A connection that ends if no whole request comes, or if the client reads nothing.

    uvicorn bounds only the time between two requests.
    """

    _waits_after: object = _BUSY
    """The request after which nothing came, when it was looked at last; None: the first one."""
    _was_full = False
    """Whether the client has read nothing since then, although there was more for it."""
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(IDLE_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        self._was_full = False
        super().resume_writing()

    def _look(self) -> None:
        is_waiting = self.cycle is None or self.cycle.response_complete
        is_idle = is_waiting and self._waits_after is self.cycle
        if is_idle or self._was_full:
            self.transport.abort()
            return
        self._waits_after = self.cycle if is_waiting else _BUSY
        self._was_full = self.flow.write_paused
        self._timer = self.loop.call_later(IDLE_SECONDS, self._look)
