"""What ends one of several processes ends them all, and nothing is lost."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.launches import torchrun, worker
from support.several_processes import (
    KINDS,
    ROUNDED,
    assert_alike,
    charlm_by,
    exit_codes,
    in_step_8,
    training,
    when_at,
)
from support.training import assert_same_weights, lines

import charlm
from charlm.runs.checkpoint import read_checkpoint
from charlm.runs.folder import RunFolder


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers below /proc")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_kill_ends_all_processes(by_one_and_two: Path, rank: int) -> None:
    """Where a process is killed, the others end with one line."""
    ended = RunFolder(by_one_and_two / f"killed-{rank}" / "rnn-carried")
    arguments = training(
        by_one_and_two / "text.txt", ended.path.parent, "rnn-carried", *KINDS["rnn-carried"]
    )
    with subprocess.Popen(
        charlm_by(torchrun(2), *arguments), stderr=subprocess.PIPE, text=True
    ) as agent:
        when_at(ended.metrics, 8, lambda: os.kill(worker(agent, rank), signal.SIGKILL))
        _, messages = agent.communicate(timeout=60)  # without the kill they wait 15 minutes
    assert agent.returncode != 0
    said = [line for line in messages.splitlines() if line.startswith("charlm: ")]
    assert len(said) == 1, messages
    assert f"process {1 - rank} of 2: another process has ended" in said[0]
    assert messages.count("Traceback") == 1  # torchrun's own, after that
    reached = lines(ended)[-1]["step"]
    saved = read_checkpoint(ended.last).training_counters["trainer"]["step"]
    assert reached - 5 <= saved <= reached
    again = charlm_by(torchrun(2), "train", "--resume", ended.path)
    subprocess.run(again, check=True, timeout=60, capture_output=True)
    whole = RunFolder(by_one_and_two / "two" / "rnn-carried")
    assert lines(ended) == lines(whole)
    assert_same_weights(ended.last, whole.last)


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal to send")
@pytest.mark.parametrize(("rank", "when", "last"), [(0, "before", 8), (1, "after", 9)])
def test_a_stop_stops_all_processes(
    by_one_and_two: Path, tmp_path: Path, rank: int, when: str, last: int
) -> None:
    """A stop of one process stops all, after this step or the next."""
    ended = RunFolder(tmp_path / "gru-carried")
    arguments = training(
        by_one_and_two / "text.txt", tmp_path, "gru-carried", *KINDS["gru-carried"]
    )
    asked = in_step_8(tmp_path, f"rank == {rank} and os.kill(os.getpid(), signal.SIGTERM)", when)
    done = subprocess.run(
        [*asked, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert "stopped and saved" in done.stderr
    assert exit_codes(tmp_path) == ["130", "130"]
    assert done.returncode == 1  # torchrun's own, whatever its workers leave with
    assert lines(ended)[-1]["step"] == last
    assert read_checkpoint(ended.last).training_counters["trainer"]["step"] == last
    charlm.resume(ended.path)
    assert_alike(ended, RunFolder(by_one_and_two / "one" / "gru-carried"))


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no groups of processes")
@pytest.mark.parametrize(
    ("name", "number"), [("rnn-carried", signal.SIGINT), ("bfloat16", signal.SIGTERM)]
)
def test_torchrun_passes_signals_on(
    by_one_and_two: Path, tmp_path: Path, name: str, number: signal.Signals
) -> None:
    """Ctrl-C or SIGTERM to torchrun stops all processes."""
    ended = RunFolder(tmp_path / name)
    arguments = training(by_one_and_two / "text.txt", tmp_path, name, *(KINDS | ROUNDED)[name])
    with subprocess.Popen(
        [*in_step_8(tmp_path, "pass"), *arguments],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as agent:
        when_at(ended.metrics, 7, lambda: os.killpg(agent.pid, number))
        _, messages = agent.communicate(timeout=60)
    assert messages.count("stopped and saved") == 1
    assert exit_codes(tmp_path) == ["130", "130"]
    assert agent.returncode == 1
    saved = read_checkpoint(ended.last).training_counters["trainer"]["step"]
    assert saved == lines(ended)[-1]["step"] < 21
    again = charlm_by(torchrun(2), "train", "--resume", ended.path)
    subprocess.run(again, check=True, timeout=60, capture_output=True)
    whole = RunFolder(by_one_and_two / "two" / name)
    assert lines(ended) == lines(whole)  # to the last bit
    assert_same_weights(ended.last, whole.last)


@pytest.mark.long
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_failing_disk_ends_all_processes(by_one_and_two: Path, tmp_path: Path, call: str) -> None:
    """A disk that fails in the first process, the writer, ends all and loses nothing."""
    ended = RunFolder(tmp_path / "gru-carried")
    arguments = training(
        by_one_and_two / "text.txt", tmp_path, "gru-carried", *KINDS["gru-carried"]
    )
    fails = f"setattr(os, {call!r}, full)"
    setup = "def full(*arguments, **options): raise OSError(28, 'No space left on device')"
    done = subprocess.run(
        [*in_step_8(tmp_path, fails, setup=setup), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if line.startswith("charlm: ")]
    assert sum("No space left" in line for line in said) == 1, done.stderr
    assert all("No space left" in line or "another process has ended" in line for line in said)
    assert read_checkpoint(ended.last).training_counters["trainer"]["step"] == 5
    again = charlm_by(torchrun(2), "train", "--resume", ended.path)
    subprocess.run(again, check=True, timeout=60, capture_output=True)
    whole = RunFolder(by_one_and_two / "two" / "gru-carried")
    assert lines(ended) == lines(whole)
    assert_same_weights(ended.last, whole.last)


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers below /proc")
@pytest.mark.parametrize("rank", [0, 1])
def test_silent_process_times_out(by_one_and_two: Path, tmp_path: Path, rank: int) -> None:
    """A process that falls silent, as if its machine vanished, ends the others after a timeout."""
    arguments = training(by_one_and_two / "text.txt", tmp_path, "silent")
    silent = in_step_8(
        tmp_path,
        f"rank == {rank} and os.kill(os.getpid(), signal.SIGSTOP)",
        setup="parallel._PATIENCE_IN_STEPS = timedelta(seconds=4)",
    )
    with subprocess.Popen([*silent, *arguments], stderr=subprocess.PIPE, text=True) as agent:
        when_at(RunFolder(tmp_path / "silent").metrics, 7, lambda: None)
        stopped = worker(agent, rank)
        assert agent.stderr is not None
        said = next(line for line in agent.stderr if "cannot be reached" in line)
        os.kill(stopped, signal.SIGKILL)  # or torchrun itself would wait for it
        agent.communicate(timeout=60)
    assert said.startswith(f"charlm: process {1 - rank} of 2: ")
