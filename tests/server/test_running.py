"""A running server: the official client, many clients at once, those who leave, Ctrl-C."""

import gc
import json
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
import pytest
from support.commands import command, refused, run
from support.serving import HOST, served, wait_until
from support.texts import TEXT
from support.training import train

import charlm
from charlm.server.completion_body import CompletionBody, make_completion
from charlm.server.offer import Offer

CLIENTS = 64


@pytest.fixture(scope="module")
def run_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    path = folder / "text.txt"
    path.write_text(TEXT, "utf-8")
    return train(path, folder, "training.steps=20", name="novel").path


@pytest.fixture(scope="module")
def model(run_path: Path) -> charlm.Predictor:
    return charlm.load(run_path)


@pytest.fixture(scope="module")
def server(model: charlm.Predictor) -> Iterator[tuple[str, Offer]]:
    with served(model) as address_and_offer:
        yield address_and_offer


def complete(client: httpx.Client, **fields: object) -> str:
    response = client.post("/v1/completions", json=fields)
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["text"])


def test_openai_client_reads_texts(server: tuple[str, Offer], model: charlm.Predictor) -> None:
    """The official client completes, streams, lists models and raises its own errors."""
    import openai  # here, because only this test waits for it

    expected = charlm.generate_text(model, "The ", seed=7, length=300)
    with openai.OpenAI(base_url=f"{server[0]}/v1", api_key="none", max_retries=0) as client:
        assert [one.id for one in client.models.list()] == ["novel"]
        fields = {"model": "novel", "prompt": "The ", "max_tokens": 300, "seed": 7}
        whole = client.completions.create(**fields, n=2, logprobs=2)  # type: ignore[call-overload]
        assert whole.choices[0].text == expected
        assert whole.choices[1].logprobs.tokens == list(whole.choices[1].text)
        assert whole.usage.completion_tokens == 600
        stream = client.completions.create(**fields, stream=True)  # type: ignore[call-overload]
        assert "".join(event.choices[0].text for event in stream) == expected
        with pytest.raises(openai.BadRequestError, match="U\\+0000"):
            client.completions.create(model="novel", prompt="\0")
        with pytest.raises(openai.NotFoundError):
            client.completions.create(model="other", prompt="a")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_reads_texts(server: tuple[str, Offer], model: charlm.Predictor) -> None:
    """`curl` reads a text, and a stream that ends in [DONE]."""
    expected = charlm.generate_text(model, "The ", seed=7, length=100)

    def curl(**fields: object) -> str:
        words = ["curl", "-sN", f"{server[0]}/v1/completions", "-d", "@-"]
        words += ["-H", "Content-Type: application/json"]
        body = json.dumps({"prompt": "The ", "seed": 7, "max_tokens": 100, **fields})
        done = subprocess.run(words, input=body, capture_output=True, text=True, check=True)
        return done.stdout

    assert json.loads(curl())["choices"][0]["text"] == expected
    *events, last = curl(stream=True).removesuffix("\n\n").split("\n\n")
    texts = [json.loads(event.removeprefix("data: "))["choices"][0]["text"] for event in events]
    assert ("".join(texts), last) == (expected, "data: [DONE]")


def open_files() -> int:
    """Return the number of open files of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def load(server: tuple[str, Offer], model: charlm.Predictor, requests: int) -> None:
    """Send requests from many clients at once; each gets its own text, and nothing remains."""
    address, offer = server
    expected = [charlm.generate_text(model, "The ", seed=n, length=20) for n in range(20)]
    with httpx.Client(base_url=address, timeout=60) as client:
        complete(client, prompt="a")
    gc.collect()
    threads, files = threading.active_count(), open_files()
    limits = httpx.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)
    with (
        httpx.Client(base_url=address, timeout=60, limits=limits) as client,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):
        texts = pool.map(
            lambda n: complete(client, prompt="The ", seed=n % 20, max_tokens=20), range(requests)
        )
        assert list(texts) == [expected[n % 20] for n in range(requests)]
    wait_until(lambda: threading.active_count() <= threads)
    wait_until(lambda: open_files() <= files)
    assert offer.worker.num_active == 0


def test_load_loses_no_request(server: tuple[str, Offer], model: charlm.Predictor) -> None:
    """Two hundred requests of 64 clients are all answered, and leave no threads and files."""
    load(server, model, 200)


@pytest.mark.long
def test_long_load_loses_no_request(server: tuple[str, Offer], model: charlm.Predictor) -> None:
    """Two thousand requests of 64 clients are all answered, and leave no threads and files."""
    load(server, model, 2_000)


def test_every_client_makes_progress(model: charlm.Predictor) -> None:
    """Sixty-four texts, sampled in three ways, have their turns: all grow at the same time."""
    offer = Offer.of([model])
    fields = {"prompt": "a", "max_tokens": 100_000}
    works = [
        make_completion(
            CompletionBody.model_validate({**fields, "temperature": 1.0 + number % 3}),
            offer.models["novel"],
            offer.limits,
            lambda: None,
        ).works[0]
        for number in range(CLIENTS)
    ]
    offer.worker.start()
    try:
        offer.worker.submit([*works])
        wait_until(lambda: all(work.choices[0].num_generated for work in works))
        assert not any(work.is_finished for work in works)
    finally:
        offer.worker.end()
        offer.worker.join(10.0)
    assert all(work.error is not None for work in works)


@pytest.mark.parametrize("is_stream", [True, False])
def test_client_that_leaves_frees_its_place(server: tuple[str, Offer], *, is_stream: bool) -> None:
    """The work of a client that closes its connection ends within a second."""
    address, offer = server
    port = int(address.rpartition(":")[2])
    body = json.dumps({"prompt": "a", "max_tokens": 100_000, "stream": is_stream}).encode()
    head = (
        f"POST /v1/completions HTTP/1.1\r\nHost: {HOST}:{port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((HOST, port)) as client:
        client.sendall(head.encode() + body)
        wait_until(lambda: offer.worker.num_active == 1)
    assert wait_until(lambda: offer.worker.num_active == 0) < 1


def test_port_in_use_has_a_remedy(run_path: Path) -> None:
    """A port in use is one line that names another, before a model is loaded."""
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        refused(run("serve", run_path, "--port", port), f"port {port}", f"--port {port + 1}")


def test_host_needs_a_token(run_path: Path) -> None:
    """Other machines are let in only with a token, and with one that nobody guesses."""
    refused(run("serve", run_path, "--host", "0.0.0.0"), "--token")
    refused(run("serve", run_path, "--token", "short"), "16")


def test_missing_extra_is_named(run_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without starlette, the error names the extra."""
    monkeypatch.setitem(__import__("sys").modules, "starlette", None)
    refused(run("serve", run_path), "charlm-rnn[serve]")


def test_interrupt_ends_the_command(run_path: Path) -> None:
    """Ctrl-C ends the command within a second, also while a text is generated."""
    words = command("serve", run_path, "--port", 0, "--quiet")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        address = process.stdout.readline().decode().strip()
        fields = {"prompt": "a", "max_tokens": 100_000, "stream": True}
        with httpx.stream("POST", f"{address}v1/completions", json=fields, timeout=60) as stream:
            next(stream.iter_lines())
            start = time.monotonic()
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
            assert time.monotonic() - start < 3  # a second, on a machine that does nothing else
        assert process.stderr.read() == b""
