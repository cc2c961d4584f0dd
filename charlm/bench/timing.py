"""Time pieces of work in turns, so that a change of the machine's speed affects all of them."""

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

_NUM_TURNS = 5

Work = Callable[[], float]
"""Function that works and returns the amount: characters or floating-point operations."""


@contextmanager
def in_own_process(sizes: Mapping[str, Any]) -> Iterator[Work]:
    """Yield a step of the plain loop in its own process, with the original environment."""
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
                raise CharlmError("the plain loop has ended; see its error above") from None

        yield step


def in_turns(works: Mapping[str, Work], seconds: float) -> dict[str, list[float]]:
    """Run all works in turns; return the rate of each work in each turn."""
    rates: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for _ in range(_NUM_TURNS):
        for name, work in works.items():
            rates[name].append(rate_of(work, seconds))
    return rates


def rate_of(work: Work, seconds: float) -> float:
    """Repeat a work for this time; return its amount per second."""
    amount, start = 0.0, perf_counter()
    while (elapsed := perf_counter() - start) < seconds or amount == 0:
        amount += work()
    return amount / elapsed


def median_ratio(rates: list[float], base_rates: list[float]) -> float:
    """Return the median of the ratios of all turns."""
    return statistics.median(a / b for a, b in zip(rates, base_rates, strict=True))
