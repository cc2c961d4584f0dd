"""Serve at an address until Ctrl-C: open the port first, and end within a second."""

import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from charlm.errors import CharlmError
from charlm.server.connection import IDLE_SECONDS, Connection
from charlm.server.offer import Offer

_ENDING_SECONDS = 1
_BACKLOG = 1_024


def open_port(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address; raises `CharlmError` if it is in use."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as reason:
        raise CharlmError(f"--host {host}: no such address ({reason}); name another") from None
    bound = socket.socket(family, kind)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
        bound.listen(_BACKLOG)
    except OSError as reason:
        bound.close()
        raise _port_error(host, port, reason) from None
    return bound


def _port_error(host: str, port: int, reason: OSError) -> CharlmError:
    place = f"port {port} of {host}"
    if reason.errno == errno.EADDRINUSE:
        return CharlmError(f"{place} is in use; choose another, such as --port {port + 1}")
    if reason.errno in (errno.EACCES, errno.EPERM):
        return CharlmError(f"{place} is not allowed; choose one from 1024, such as --port 8000")
    return CharlmError(f"{place} could not be opened ({reason.strerror}); choose another --port")


class Server(uvicorn.Server):
    """A server that ends at the first Ctrl-C: it waits for no text that is still generated."""

    def __init__(
        self, app: ASGIApp, offer: Offer, on_start: Callable[[], None] = lambda: None
    ) -> None:
        """`on_start` is called as soon as it serves."""
        config = uvicorn.Config(
            app,
            access_log=False,
            log_level="error",  # below that, anyone who connects fills the log
            http=Connection,
            server_header=False,
            limit_concurrency=offer.limits.connections,
            timeout_keep_alive=int(IDLE_SECONDS),
            timeout_graceful_shutdown=_ENDING_SECONDS,
            proxy_headers=False,
            ws="none",
            lifespan="on",
        )
        super().__init__(config)
        self._offer, self._on_start = offer, on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._offer.worker.is_ending

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._offer.worker.end()
        super().handle_exit(sig, frame)


def serve(app: ASGIApp, bound: socket.socket, offer: Offer, on_start: Callable[[], None]) -> None:
    """Serve an offer at an open port until Ctrl-C or SIGTERM; `on_start`: see `Server`.

    Raises `CharlmError` if a bug has ended the thread that computes.
    """
    server = Server(app, offer, on_start)
    with suppress(KeyboardInterrupt):  # uvicorn repeats the signal when it has ended
        server.run(sockets=[bound])
    if not server.should_exit:
        raise CharlmError("the server has ended after the error above; start it again")
