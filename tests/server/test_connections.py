"""Clients that connect and do nothing, or do not read, lose their connection; a bug ends all."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2 as httpx
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from support.serving import HOST, served, wait_until
from support.texts import TEXT
from support.training import train

import charlm
from charlm.errors import CharlmError
from charlm.server import connection, running
from charlm.server.app import make_app
from charlm.server.batch import Batch
from charlm.server.offer import Offer

_PIECE = b"x" * (1 << 16)
_NUM_PIECES = 1_000


async def _long_answer(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(_NUM_PIECES):
        await send({"type": "http.response.body", "body": _PIECE, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@contextmanager
def answering() -> Iterator[tuple[int, uvicorn.Server]]:
    """Serve a long answer; yield the port, and the server."""
    bound = running.open_port(HOST, 0)
    config = uvicorn.Config(
        _long_answer, http=connection.Connection, lifespan="off", log_level="error"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([bound],))
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield bound.getsockname()[1], server
    finally:
        server.should_exit = True
        thread.join()
        bound.close()


@pytest.fixture(autouse=True)
def short_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "IDLE_SECONDS", 0.2)


@pytest.mark.parametrize("head", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n"])
def test_idle_connections_end(head: bytes) -> None:
    """A connection without a whole request ends."""
    with answering() as (port, server), socket.create_connection((HOST, port)) as client:
        client.sendall(head)
        wait_until(lambda: len(server.server_state.connections) == 1)
        wait_until(lambda: not server.server_state.connections)


def test_unread_answers_end() -> None:
    """A client that reads nothing loses its connection; one that reads has the whole answer."""
    with answering() as (port, server):
        with socket.create_connection((HOST, port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            wait_until(lambda: len(server.server_state.connections) == 1)
            wait_until(lambda: not server.server_state.connections)
        with httpx.stream("GET", f"http://{HOST}:{port}/", timeout=60) as answer:
            size = sum(map(len, answer.iter_bytes()))
        assert size == _NUM_PIECES * len(_PIECE)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> charlm.Predictor:
    folder: Path = tmp_path_factory.mktemp("trained")
    path = folder / "text.txt"
    path.write_text(TEXT, "utf-8")
    return charlm.load(train(path, folder, "training.steps=2", name="novel").path)


def test_quiet_streams_stay(model: charlm.Predictor) -> None:
    """A connection whose text is generated, or waits for its turn, is not idle."""
    with served(model) as (address, _):
        fields = {"prompt": "a", "max_tokens": 100_000, "seed": 1}
        answer = httpx.post(f"{address}/v1/completions", json=fields, timeout=120).json()
        assert len(answer["choices"][0]["text"]) == 100_000


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_bug_ends_the_server(model: charlm.Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in the thread that computes ends the server, so that it does not refuse for ever."""
    offer, bound = Offer.of([model]), running.open_port(HOST, 0)

    def fail(batch: Batch, seconds: float) -> None:
        raise RuntimeError("a bug")

    def serve() -> None:
        with pytest.raises(CharlmError, match="start it again"):
            running.serve(make_app(offer), bound, offer, started.set)

    started = threading.Event()
    thread = threading.Thread(target=serve)
    thread.start()
    assert started.wait(30)
    monkeypatch.setattr(Batch, "advance", fail)
    address = f"http://{HOST}:{bound.getsockname()[1]}/v1/completions"
    assert httpx.post(address, json={"prompt": "a"}, timeout=60).status_code == 503
    thread.join(30)
    assert not thread.is_alive()
    bound.close()
