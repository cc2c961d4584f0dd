"""Serve a model in a thread of this process, at a free port, and find what is left of requests."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import charlm
from charlm.server.app import make_app
from charlm.server.limits import Limits
from charlm.server.offer import Offer
from charlm.server.running import Server, open_port

HOST = "127.0.0.1"


@contextmanager
def served(
    *models: charlm.Predictor, limits: Limits | None = None, token: str | None = None
) -> Iterator[tuple[str, Offer]]:
    """Yield the address of a server, and what it offers."""
    offer, bound = Offer.of(models, limits), open_port(HOST, 0)
    server = Server(make_app(offer, token=token), offer)
    thread = threading.Thread(target=server.run, args=([bound],))
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield f"http://{HOST}:{bound.getsockname()[1]}", offer
    finally:
        server.should_exit = True
        thread.join()
        bound.close()


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> float:
    """Wait until a condition holds; return how long that took, or fail."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, "waited in vain"
        time.sleep(0.01)
    return time.monotonic() - start
