"""Measure how fast a server writes: its first character, one client, many at once, and its end.

    python tests/measure_server.py [RUN] [--seconds 5] [--clients 64]

It serves a run, by default an untrained LSTM of 512 units, in a process of its own, and prints a
line for each figure. Rates are of characters that clients have read. The clients are in this
process, and compute little: they read bytes, which are decoded after the measurement. Beside a rate
is the processor time of the server, as a share of one core, and the share of time for which the
thread that computes waited, because other programs used the cores. On a free core, the rate would
be about the rate divided by one minus this share.
"""

import argparse
import json
import os
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import charlm

HOST = "127.0.0.1"
_PROMPT = "The "
_TEXT = "The quick brown fox jumps over the lazy dog, and 0123456789 more; who would not?\n" * 400
_NUM_FIRST = 40
_NUM_ENDS = 5


def untrained_run(folder: Path) -> Path:
    """Return the folder of a run of one step."""
    path = folder / "text.txt"
    path.write_text(_TEXT, "utf-8")
    settings = ["model.hidden_size=512", "training.steps=1", "training.budget=null"]
    run = charlm.train("quickstart", text=path, runs=folder, settings=settings, name="untrained")
    return run.folder.path


@contextmanager
def served(run: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Yield the process of a server and its port."""
    command = [sys.executable, "-m", "charlm", "serve", str(run), "--port", "0", "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        address = process.stdout.readline().decode().strip()
        try:
            yield process, int(address.rstrip("/").rpartition(":")[2])
        finally:
            process.kill()


def asked(port: int, **fields: object) -> socket.socket:
    """Open a connection and ask for a stream."""
    body = json.dumps({"prompt": _PROMPT, "stream": True, **fields}).encode()
    head = (
        f"POST /v1/completions HTTP/1.1\r\nHost: {HOST}:{port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection = socket.create_connection((HOST, port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(head.encode() + body)
    return connection


def first_character(port: int, **fields: object) -> float:
    """Return the milliseconds from the connection to the first event."""
    start = time.perf_counter()
    with asked(port, max_tokens=100, seed=1, **fields) as connection:
        read = b""
        while b"data: " not in read:
            read += connection.recv(1 << 16)
        return 1_000 * (time.perf_counter() - start)


def rate(server: int, port: int, clients: int, seconds: float) -> tuple[float, float, float]:
    """Return the characters of all clients, the processor time and the wait for it, per second."""
    selector, read = selectors.DefaultSelector(), [bytearray() for _ in range(clients)]
    for number in range(clients):
        connection = asked(port, max_tokens=100_000, seed=number)
        selector.register(connection, selectors.EVENT_READ, number)
    warm = time.perf_counter() + 1.0
    start = used = 0.0
    threads: dict[str, tuple[int, int]] = {}
    sizes = [0] * clients
    while (now := time.perf_counter()) < (start or warm) + seconds:
        if not start and now > warm:
            start, used, threads = now, _processor_seconds(server), _thread_times(server)
            sizes = [len(one) for one in read]
        for key, _ in selector.select(0.1):
            read[key.data] += key.fileobj.recv(1 << 18)  # type: ignore[union-attr]
    taken, used = time.perf_counter() - start, _processor_seconds(server) - used
    waited = _waiting_seconds(threads, _thread_times(server))
    for key in list(selector.get_map().values()):
        key.fileobj.close()  # type: ignore[union-attr]
    characters = sum(_characters(one[size:]) for one, size in zip(read, sizes, strict=True))
    assert all(len(one) > size for one, size in zip(read, sizes, strict=True)), "one waits"
    return characters / taken, used / taken, waited / taken


def _processor_seconds(process: int) -> float:
    """Return the processor time of a process of Linux; see proc(5)."""
    fields = Path(f"/proc/{process}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _thread_times(process: int) -> dict[str, tuple[int, int]]:
    """Return the nanoseconds that each thread has run, and waited for a core (Linux: schedstat)."""
    tasks = Path(f"/proc/{process}/task").glob("*/schedstat")
    figures = {task.parent.name: task.read_text("ascii").split() for task in tasks}
    return {thread: (int(ran), int(waited)) for thread, (ran, waited, _) in figures.items()}


def _waiting_seconds(
    before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]
) -> float:
    """Return for how long the thread that ran most between the two has waited for a core."""
    changes = [
        (after[one][0] - ran, after[one][1] - waited) for one, (ran, waited) in before.items()
    ]
    return max(changes)[1] / 1e9


def _characters(read: bytes | bytearray) -> int:
    """Return the number of characters of all whole events."""
    lines = [line for line in bytes(read).split(b"\n") if line.startswith(b"data: {")]
    events = [json.loads(line[6:]) for line in lines if line.endswith(b"}")]
    return sum(len(choice["text"]) for event in events for choice in event["choices"])


def seconds_to_end(run: Path) -> float:
    """Return the seconds from Ctrl-C to the end of the process, while it writes."""
    with served(run) as (process, port), asked(port, max_tokens=100_000) as connection:
        connection.recv(1 << 16)
        time.sleep(0.5)
        start = time.perf_counter()
        process.send_signal(signal.SIGINT)
        process.wait()
        return time.perf_counter() - start


def _line(name: str, figures: Sequence[float], unit: str, goal: str) -> None:
    middle, highest = statistics.median(figures), max(figures)
    print(f"{name:24} median {middle:8,.2f}  highest {highest:8,.2f} {unit:14} asked: {goal}")


def _described(characters: float, busy: float, waited: float) -> str:
    return f"{characters:10,.0f} characters/s  {busy:4.0%} of a core, waited {waited:4.0%}"


def main() -> None:
    """Measure the run of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--clients", type=int, default=64)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = options.run or untrained_run(Path(folder))
        with served(run) as (process, port):
            _line("very first character", [first_character(port)], "ms", "50")
            _line("first character", [first_character(port) for _ in range(_NUM_FIRST)], "ms", "50")
            figures = [first_character(port, logprobs=5) for _ in range(_NUM_FIRST)]
            _line("  with logprobs", figures, "ms", "50")
            one, busy, waited = rate(process.pid, port, 1, options.seconds)
            print(f"one client               {_described(one, busy, waited)}")
            many, busy, waited = rate(process.pid, port, options.clients, options.seconds)
            print(f"{options.clients} clients               {_described(many, busy, waited)}")
            print(f"{many / one:.2f} times one client, asked: 3")
        _line("Ctrl-C to the end", [seconds_to_end(run) for _ in range(_NUM_ENDS)], "s", "1")


if __name__ == "__main__":
    main()
