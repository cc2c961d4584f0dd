"""Try during a run which number of threads is fastest, on a machine that others use too."""

import math
import statistics
from collections import deque
from collections.abc import Generator, Iterator
from time import perf_counter

import torch

from charlm.training.calibration import MIN_SPEEDUP
from charlm.training.state import TrainingState
from charlm.training.step_result import StepResult

_TRIAL_STEPS = 6
"""Number of steps of a run that a trial of another number of threads measures."""
_MIN_TRIAL_STEPS = 2
"""Steps after which a trial ends if all of them are slower than usual by `_SLOWDOWN`."""
_TRIAL_SECONDS = 5.0
"""Shortest time between trials of other numbers of threads."""
_MAX_TRIAL_SHARE = 1 / 15
"""Largest fraction of the time that trials take."""
_SLOWDOWN = 1.25
"""Factor by which steps must be slower than usual for an immediate trial, or to end one."""


def steps_with_best_threads(state: TrainingState) -> Iterator[StepResult]:
    """Yield the steps of a trainer; where no bit depends on it, vary the number of threads."""
    watch = watch_threads(state.most_threads)
    next(watch)
    is_watched = state.trainer.may_vary_threads and not state.config.training.deterministic
    try:
        for step in state.trainer:
            if is_watched:
                watch.send(step.step_seconds / step.characters)
            yield step
    finally:
        torch.set_num_threads(state.most_threads)


def watch_threads(most: int) -> Generator[None, float, None]:
    """Choose the number of threads repeatedly during a run.

    The caller sends the seconds per character of each step. From time to time, or when another
    program has made steps slow, a few steps use fewer or more threads, and the faster number
    stays. This is only for runs of which no bit depends on the number: see
    `Trainer.may_vary_threads`.
    """
    numbers = _halvings(most)
    place = numbers.index(most)
    while True:
        torch.set_num_threads(numbers[place])
        usual = yield from _seconds_of_steps()
        start = perf_counter()
        for other in {max(place - 1, 0), min(place + 1, len(numbers) - 1)} - {place}:
            torch.set_num_threads(numbers[other])
            if (yield from _seconds_of_steps(usual)) * MIN_SPEEDUP < usual:
                place = other
                break
        else:
            torch.set_num_threads(numbers[place])
            rest = (perf_counter() - start) / _MAX_TRIAL_SHARE
            yield from _until_slower(usual, max(_TRIAL_SECONDS, rest))


def _until_slower(usual: float, seconds: float) -> Generator[None, float, None]:
    recent = deque([usual] * _TRIAL_STEPS, maxlen=_TRIAL_STEPS)
    start = perf_counter()
    while perf_counter() - start < seconds and statistics.median(recent) < _SLOWDOWN * usual:
        recent.append((yield))


def _seconds_of_steps(usual: float = math.inf) -> Generator[None, float, float]:
    """Measure steps; return their median, after few steps if it is clearly above the usual one."""
    yield  # the first step with a new number of threads takes longer
    times: list[float] = []
    while len(times) < _TRIAL_STEPS:
        times.append((yield))
        if len(times) == _MIN_TRIAL_STEPS and min(times) > _SLOWDOWN * usual:
            break
    return statistics.median(times)


def _halvings(most: int) -> list[int]:
    """Return 1, 2, 4, … and `most`."""
    return sorted({most, *(1 << power for power in range(most.bit_length()) if 1 << power <= most)})
