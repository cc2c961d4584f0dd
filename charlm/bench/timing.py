"""Works timed in turns: where a machine changes its speed, it does so for all of them."""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from charlm.bench import plain_loop
from charlm.environment.process import original_environment
from charlm.errors import CharlmError

_TURNS = 5

Work = Callable[[], float]
"""Does some work and returns how much: characters, or floating-point operations."""


@contextmanager
def in_own_process(sizes: Mapping[str, Any]) -> Iterator[Work]:
    """Yield a step of the plain loop, in a process with the environment that charlm found."""
    command = [sys.executable, "-P", plain_loop.__file__, json.dumps(sizes)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=original_environment(),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        ask, answers = process.stdin, process.stdout

        def step() -> float:
            try:
                print(file=ask, flush=True)
                return float(answers.readline())
            except (BrokenPipeError, ValueError):
                raise CharlmError("the plain loop has ended; what it said stands above") from None

        yield step


def in_turns(works: Mapping[str, Work], seconds: float) -> dict[str, list[float]]:
    """Give every work its turn, again and again; return the rates of its turns."""
    rates: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for _ in range(_TURNS):
        for name, work in works.items():
            rates[name].append(rate_of(work, seconds))
    return rates


def rate_of(work: Work, seconds: float) -> float:
    """Repeat a work for so long; return how much it did a second."""
    done, start = 0.0, perf_counter()
    while (elapsed := perf_counter() - start) < seconds or done == 0:
        done += work()
    return done / elapsed


def median_ratio(rates: list[float], others: list[float]) -> float:
    """Return the median of the ratios of each turn."""
    return statistics.median(a / b for a, b in zip(rates, others, strict=True))
