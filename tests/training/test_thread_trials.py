"""Trials of other numbers of threads during a run: the fastest stays, and no result changes."""

from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
import torch

from charlm.training import thread_trials
from charlm.training.thread_trials import watch_threads


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def steps(most: int, seconds: Callable[[int], float], count: int) -> list[int]:
    """Send in steps whose time depends on the number of threads; return the numbers taken."""
    watch = watch_threads(most)
    next(watch)
    taken = []
    for _ in range(count):
        threads = torch.get_num_threads()
        taken.append(threads)
        watch.send(seconds(threads))
    return taken


def test_a_quiet_machine_keeps_every_thread() -> None:
    taken = steps(4, lambda threads: 1 / threads, 200)
    assert taken[-100:] == [4] * 100
    assert taken.count(2) < 10


def test_fewer_threads_if_faster() -> None:
    """Fewer threads are used where they are faster."""
    assert steps(4, float, 200)[-100:] == [1] * 100


def test_threads_go_and_come_with_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1_000_000))  # a second a step
    monkeypatch.setattr(thread_trials, "perf_counter", lambda: float(next(clock)))
    load = iter([0.5] * 100 + [3.0] * 100 + [0.5] * 200)

    def seconds(threads: int) -> float:
        with_two = next(load)  # one thread always takes 1
        return with_two if threads == 2 else 1.0

    taken = steps(2, seconds, 400)
    assert taken[60:100].count(2) > 30
    assert taken[120:200].count(1) > 40
    assert taken[260:].count(2) > 100


def test_small_differences_change_nothing() -> None:
    """A difference smaller than the noise does not change the number of threads."""
    assert steps(2, lambda threads: 1 + threads / 20, 300)[-200:] == [2] * 200


def test_a_wrong_number_is_left_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials come every five seconds, also with all threads, and take little of the time."""
    now = 0.0
    monkeypatch.setattr(thread_trials, "perf_counter", lambda: now)
    watch = watch_threads(2)
    next(watch)
    tried: list[float] = []
    slow = 0
    for _ in range(2000):
        threads = torch.get_num_threads()
        seconds = 0.05 if threads == 2 else 0.1
        now += seconds
        if threads == 1:
            slow += 1
            if not tried or now - tried[-1] > 1:
                tried.append(now)
        watch.send(seconds)
    gaps = [later - earlier for earlier, later in pairwise(tried)]
    assert len(gaps) > 10
    assert max(gaps) < 6.5
    assert slow * 0.1 < now / 15
