"""Real runs ended from outside at random moments, half of them while a checkpoint is written.

`pytest -m long tests/faults -s` ends them `CHARLM_KILLS` times (360), three in five by SIGKILL, and
says how many it was.
"""

import gzip
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.clocked import clock_of_steps
from support.commands import command, run, steps_logged
from support.launches import worker
from support.training import PowerLossError
from support.workplace import Workplace

import charlm
from charlm.files.build_folder import RESERVED
from charlm.runs.checkpoint import read_checkpoint
from charlm.runs.folder import RunFolder
from charlm.training import command_clock
from charlm.training.events import Event, Started, Stepped

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


def end_one(
    place: Workplace,
    arguments: list[str],
    ended: RunFolder,
    way: signal.Signals,
    chance: random.Random,
) -> str:
    """Run a command until a moment in its training; say what it was in the middle of."""
    before, earlier = traces(ended), half_written(ended)
    in_writing, wait = chance.random() < 0.6, chance.random() * 0.4
    has_begun = chance.random() < 0.8  # else while charlm loads, makes a folder or reads one
    # A run that writes its output nowhere has no reader to wait for.
    with subprocess.Popen(place.command(*arguments), stdout=subprocess.DEVNULL) as process:
        if has_begun:
            while process.poll() is None and traces(ended) == before:
                time.sleep(0.005)
            time.sleep(wait)
            while in_writing and process.poll() is None and not half_written(ended) - earlier:
                time.sleep(0.0001)
        else:
            time.sleep(10 * wait)
        process.send_signal(way)
        code = process.wait(timeout=30)  # time enough to save, on a busy machine, too
    if code == 0:
        return "end"
    if traces(ended) == before:
        return "beginning"
    if way != signal.SIGKILL:
        assert code == 130 or is_at_end(ended)  # which may be that of the process, too
        assert not half_written(ended) - earlier
    return "writing" if half_written(ended) - earlier else "training"


def traces(ended: RunFolder) -> list[tuple[str, int]]:
    """Return what changes when training begins."""
    files = (ended.metrics, ended.last)
    return [(file.name, file.stat().st_mtime_ns) for file in files if file.exists()]


def is_at_end(ended: RunFolder) -> bool:
    last = read_checkpoint(ended.last)
    step: int = last.training_counters["trainer"]["step"]
    return step == (last.config.training.steps or last.config.training.budget)


def half_written(ended: RunFolder) -> set[Path]:
    """Return the checkpoints that are being written; `write_whole` names such a file `whole`.

    A process that was killed leaves its file, and the next save removes it.
    """
    try:
        return set(ended.checkpoints.glob(f"{RESERVED}/*/whole"))
    except FileNotFoundError:  # a folder was removed while it was listed
        return set()


def kill_often(place: Workplace, ways: list[signal.Signals], each: int) -> Counter[tuple[str, str]]:
    """End runs in each of these ways in turn; take each up until it has come to its end.

    Returns how often a run was ended in which way, and in the middle of what.
    """
    chance = random.Random(len(ways))
    moments: Counter[tuple[str, str]] = Counter()
    while ways:
        kind = next(place.kinds)
        place.whole(kind)
        ended = RunFolder(place.folder / f"ended-{len(ways)}")
        arguments = place.arguments(kind, ended.path.name)
        for _ in range(min(each, len(ways))):
            way = ways.pop()
            moment = end_one(place, arguments, ended, way, chance)
            moments[way.name, moment] += 1
            place.check_saved(ended)
            if ended.path.exists():
                arguments = ["train", "--quiet", "--resume", str(ended.path)]
            if moment == "end":
                break
        assert run(*arguments).exit_code == 0
        place.check_end(ended, kind)
    return moments


def test_run_ended_at_any_moment_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ends at any moment, by SIGTERM or SIGKILL, resumes as if it were uninterrupted."""
    clock_of_steps(monkeypatch)
    place = Workplace(tmp_path, steps=60, save_every=4, validate_every=20)
    kill_often(place, [signal.SIGTERM, signal.SIGKILL], each=2)


@pytest.mark.parametrize(
    "way",
    [signal.SIGTERM, pytest.param(getattr(signal, "SIGHUP", None), marks=pytest.mark.long)],
)
def test_ending_an_encoding_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: signal.Signals
) -> None:
    """A signal while a text is encoded ends charlm and leaves neither a cache entry nor a run."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("CHARLM_CACHE", str(cache))
    with gzip.open(tmp_path / "text.gz", "wb", compresslevel=1) as file:  # some seconds
        for _ in range(40):
            file.write("é a line of a long text\n".encode() * 40_000)
    arguments = ["train", "quickstart", "--text", tmp_path / "text.gz", "--runs", tmp_path / "runs"]
    with subprocess.Popen(command(*arguments), stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not any(cache.glob(f"{RESERVED}/*/corpus")):
            time.sleep(0.005)
        process.send_signal(way)
        _, messages = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in messages
    assert not (cache / RESERVED).exists()
    assert not (tmp_path / "runs").exists()


@pytest.mark.long
def test_hundreds_of_kills_are_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock_of_steps(monkeypatch)
    place = Workplace(tmp_path, steps=300, save_every=4, validate_every=20)
    count = int(os.environ.get("CHARLM_KILLS", "360"))
    ways = [signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGKILL]
    moments = kill_often(place, [ways[number % len(ways)] for number in range(count)], each=5)
    survived = {key: number for key, number in moments.items() if key[1] != "end"}
    for name in sorted({way for way, _ in survived}):
        of_it = sum(number for (way, _), number in survived.items() if way == name)
        print(f"\n{name}: {of_it} survived, {moments[name, 'writing']} with a file half written")
    assert moments["SIGKILL", "writing"] > 0.1 * count
    assert sum(survived.values()) > 0.8 * count


@pytest.mark.long
@pytest.mark.parametrize("way", [signal.SIGTERM, signal.SIGINT])
def test_quickstart_ends_soon_on_a_signal(tmp_path: Path, way: signal.Signals) -> None:
    """The quickstart saves and exits within seconds of a signal."""
    ended = RunFolder(tmp_path / "q")
    arguments = ("train", "--quiet", "--runs", tmp_path, "--name", "q")
    with subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not (ended.metrics.exists() and steps_logged(ended.path)):
            time.sleep(0.1)
        time.sleep(5)
        start = time.perf_counter()
        process.send_signal(way)
        assert process.wait(timeout=5) == 130
        print(f"\n{way.name}: saved and left in {time.perf_counter() - start:.2f} s")
    assert read_checkpoint(ended.last).training_counters["trainer"]["step"] > 0


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers below /proc")
def test_killed_workers_lose_nothing(
    tmp_path: Path,
) -> None:
    """A worker that is killed at any moment ends the other one, and the run loses nothing.

    `CHARLM_WORKER_KILLS` times (16), each in a run of another kind, which resumes in two.
    """
    place = Workplace(tmp_path, steps=150, save_every=4, validate_every=20, processes=2)
    chance = random.Random(5)
    count = int(os.environ.get("CHARLM_WORKER_KILLS", "16"))
    moments: Counter[str] = Counter()
    for number in range(count):
        kind = next(place.kinds)
        ended = RunFolder(tmp_path / f"ended-{number}")
        moments[kill_worker(place, place.arguments(kind, ended.path.name), ended, chance)] += 1
        place.check_saved(ended)
        place.run("train", "--quiet", "--resume", str(ended.path))
        place.check_end(ended, kind)
    print(
        f"\n{count - moments['end']} kills of workers survived, {moments['writing']} while writing"
    )
    assert moments["writing"] > 0
    assert moments["end"] < count / 2


def kill_worker(
    place: Workplace, arguments: list[str], ended: RunFolder, chance: random.Random
) -> str:
    """Kill one of the processes that train; the others end with a line within seconds."""
    before, earlier = traces(ended), half_written(ended)
    rank = chance.randrange(place.processes)
    in_writing, wait = chance.random() < 0.6, chance.random() * 0.4
    with subprocess.Popen(
        place.command(*arguments),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as agent:
        while agent.poll() is None and traces(ended) == before:
            time.sleep(0.005)
        time.sleep(wait)
        while in_writing and agent.poll() is None and not half_written(ended) - earlier:
            time.sleep(0.0001)
        with suppress(FileNotFoundError, ProcessLookupError, StopIteration):  # it has just ended
            os.kill(worker(agent, rank), signal.SIGKILL)
        _, messages = agent.communicate(timeout=20)
    if agent.returncode == 0:
        return "end"
    said = [line for line in messages.splitlines() if line.startswith("charlm: ")]
    assert len(said) <= 1, messages  # none where torchrun was quicker
    assert all("another process has ended" in line for line in said)
    assert messages.count("Traceback") == 1  # torchrun's own
    return "writing" if half_written(ended) - earlier else "training"


@pytest.mark.parametrize("saves", [True, False])
def test_a_budget_is_not_given_twice(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saves: bool
) -> None:
    """The clock advances a second per step, and an hour while nothing runs."""
    now = [0.0]
    monkeypatch.setattr(command_clock, "seconds_awake", lambda: now[0])
    settings = ["model.hidden_size=16", "training.save_every=5", "training.precision=float32"]
    settings.append("training.report=false")  # it takes time of the budget

    def end_at(last: int) -> Any:
        def on_event(event: Event) -> None:
            if isinstance(event, Started) and event.resumed_at:
                assert event.progress == pytest.approx(event.resumed_at / 20)
            if isinstance(event, Stepped):
                now[0] += 1
                if event.step.step == last:
                    if not saves:
                        raise PowerLossError
                    os.kill(os.getpid(), signal.SIGTERM)

        return on_event

    folder = tmp_path / "run"
    ended: Any = pytest.raises(KeyboardInterrupt if saves else PowerLossError)
    with ended:
        charlm.train(
            "quickstart",
            text=text_file,
            runs=tmp_path,
            name="run",
            settings=[*settings, "training.budget=20s", "batches.sequence_length=8"],
            on_event=end_at(13),
        )
    reached = read_checkpoint(RunFolder(folder).last).training_counters
    kept = 13 if saves else 10
    assert (reached["trainer"]["step"], reached["run"]["elapsed"]) == (kept, kept)
    now[0] += 3600
    assert charlm.resume(folder, on_event=end_at(0)).step == 20
    assert read_checkpoint(RunFolder(folder).last).training_counters["run"]["elapsed"] == 20
