"""Two machines train as one, and restart together."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from support.launches import torchrun
from support.several_processes import (
    KINDS,
    assert_alike,
    charlm_by,
    kill,
    taken_up_at,
    training,
)
from support.training import assert_same_weights, lines

from charlm.runs.folder import RunFolder


class Host(NamedTuple):
    """A machine: where it is reached, what a command there begins with, and its environment."""

    address: str
    enter: list[str]
    environment: dict[str, str]


def namespaces(held: ExitStack) -> list[Host]:
    """Return two network namespaces with a wire between them.

    A process in each holds it, and ends with the tests, however they end; with it goes the rest.
    """
    pids = []
    for _ in range(2):
        hold = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        held.enter_context(hold)
        assert hold.stdout is not None
        if not hold.stdout.readline():
            raise PermissionError("unshare --net")
        pids.append(hold.pid)
    hosts = [
        Host(
            f"10.77.0.{number}",
            ["nsenter", f"--net=/proc/{pid}/ns/net"],
            {"GLOO_SOCKET_IFNAME": "wire"},  # or it takes what the machine's name stands for
        )
        for number, pid in enumerate(pids, 1)
    ]
    wire = f"ip link add wire type veth peer name wire netns {pids[1]}"
    subprocess.run([*hosts[0].enter, *wire.split()], check=True, capture_output=True)
    for host in hosts:
        up = f"ip link set lo up; ip address add {host.address}/24 dev wire; ip link set wire up"
        subprocess.run([*host.enter, "sh", "-ec", up], check=True, capture_output=True)
    return hosts


@pytest.fixture(params=["namespaces", "loopback"])
def hosts(request: pytest.FixtureRequest) -> Iterator[list[Host]]:
    """Two machines that share their files, or this one in the part of both."""
    if request.param == "loopback":
        yield [Host("127.0.0.1", [], {})] * 2
        return
    with ExitStack() as held:
        try:
            found = namespaces(held)
        except (OSError, subprocess.CalledProcessError) as reason:
            pytest.skip(f"network namespaces cannot be made here ({reason})")
        yield found


def on_host(
    host: Host, cache: Path, options: list[str], arguments: list[str]
) -> subprocess.Popen[str]:
    """Start one process by torchrun on a machine."""
    return subprocess.Popen(
        [*host.enter, *charlm_by(torchrun(1, "--nnodes", "2", *options), *arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | host.environment | {"CHARLM_CACHE": str(cache)},
    )


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return str(free.getsockname()[1])


@pytest.mark.long
def test_two_machines_train_as_one(by_one_and_two: Path, tmp_path: Path, hosts: list[Host]) -> None:
    """Processes of two machines, each with its own cache, train as one process does."""
    arguments = training(by_one_and_two / "text.txt", tmp_path, "lstm", *KINDS["lstm"])
    meeting = ["--master-addr", hosts[0].address, "--master-port", free_port()]
    agents = [
        on_host(host, tmp_path / f"cache-{k}", [*meeting, "--node-rank", str(k)], arguments)
        for k, host in enumerate(hosts)
    ]
    messages = [agent.communicate(timeout=100)[1] for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], messages
    assert "training in" in messages[0]
    assert "training in" not in messages[1]
    assert_alike(RunFolder(tmp_path / "lstm"), RunFolder(by_one_and_two / "one" / "lstm"))


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers below /proc")
@pytest.mark.parametrize("number", [0, 1])
def test_a_kill_restarts_both_machines(
    by_one_and_two: Path,
    tmp_path: Path,
    hosts: list[Host],
    number: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where a process is killed, the processes of both machines restart."""
    monkeypatch.setenv("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    ended = RunFolder(tmp_path / "rnn-carried")
    arguments = training(
        by_one_and_two / "text.txt", tmp_path, "rnn-carried", *KINDS["rnn-carried"]
    )
    meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"{hosts[0].address}:{free_port()}"]
    meeting += ["--rdzv-id", "mine", "--max-restarts", "1", "--monitor-interval", "0.05"]
    with ExitStack() as held:
        agents = []
        for k, host in enumerate(hosts):
            about = [*meeting, "--local-addr", host.address]
            about += ["--rdzv-conf", f"is_host={1 - k}"]
            agent = on_host(host, Path(os.environ["CHARLM_CACHE"]), about, arguments)
            agents.append(held.enter_context(agent))
        reached = kill(agents[number], 0, ended.metrics)
        messages = [agent.communicate(timeout=100)[1] for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], messages
    assert taken_up_at("\n".join(messages)) >= reached - 5
    whole = RunFolder(by_one_and_two / "two" / "rnn-carried")
    assert lines(ended) == lines(whole)  # to the last bit
    assert_same_weights(ended.last, whole.last)
