"""Short measurements that decide settings with the value `auto`: precision and threads."""

import os
import statistics
from collections import deque
from collections.abc import Callable, Generator, Sequence
from time import perf_counter

import torch

from charlm.config.schema import Config, ModelConfig
from charlm.environment.forks import most_threads
from charlm.files.measurements import remember, remembered
from charlm.kernels.compiler import kernels_version, library
from charlm.kernels.compute import Compute
from charlm.kernels.loading import Precision
from charlm.models.cells import CELLS, LSTMCell
from charlm.models.device import choose_device

_ALL = torch.get_num_threads()
"""Threads that PyTorch uses by default (one per core), or that the user has set."""
_MIN_SPEEDUP = 1.1
"""Factor by which a setting must be faster than the simpler one to be chosen."""
_SEGMENT_STEPS = 16
_TRIAL_STEPS = 6
"""Number of steps of a run that a trial of another number of threads measures."""
_TRIAL_SECONDS, _EARLY_TRIAL_SECONDS = 30.0, 5.0
"""Seconds between trials of other numbers of threads: with all threads in use, and with fewer."""
_SLOWDOWN = 1.25
"""Factor by which steps must be slower than usual for an immediate trial."""


def choose_compute(config: Config, precision: Precision | None = None) -> Compute:
    """Decide what computes a run; where the config says `auto`, the speed of this machine decides.

    `precision` is that of the run's finished steps, if it has any. With `training.deterministic`,
    nothing is measured.
    """
    precision = precision or choose_precision(config)
    threads = config.training.threads
    if threads == "auto":
        is_measured = _may_measure(config) and precision == "float32"
        threads = measured_threads(config) if is_measured else most_threads(_ALL)
    return Compute(precision, threads)


def choose_precision(config: Config) -> Precision:
    """Decide the precision of a run that has no finished steps."""
    precision = config.training.precision
    if precision == "auto":
        return measured_precision() if _may_measure(config) else "float32"
    return precision


def _may_measure(config: Config) -> bool:
    return can_compile(config) and not config.training.deterministic


def may_vary_threads(model: ModelConfig, precision: Precision) -> bool:
    """Return whether a run may change its number of threads: no bit of its results depends on it.

    charlm's products in bfloat16 do not depend on it. PyTorch's products and sums do, in float32
    and in the gates of the hidden state.
    """
    return precision == "bfloat16" and not CELLS[model.cell].has_hidden_gate


def can_compile(config: Config) -> bool:
    """Return whether charlm's kernels train this config on this machine."""
    on_cpu = choose_device(config.training.device).type == "cpu"
    return on_cpu and config.model.implementation == "fused" and library() is not None


def measured_precision() -> Precision:
    """Return bfloat16 where its products are faster; measured once per machine."""
    key = f"bfloat16 gain, torch {torch.__version__}, {kernels_version()}"
    gain = remembered(key)
    if not isinstance(gain, float):
        works = [_step(256, 32, "float32"), _step(256, 32, "bfloat16")]
        single, half = map(min, _seconds(works))  # other programs only make them longer
        gain = single / half
        remember(key, gain)
    return "bfloat16" if gain > _MIN_SPEEDUP else "float32"


def measured_threads(config: Config) -> int:
    """Return the number of threads that is useful now, on a machine that may be busy.

    It is not measured if the user has set `OMP_NUM_THREADS`.
    """
    most = most_threads(_ALL)
    if "OMP_NUM_THREADS" in os.environ:
        return most
    numbers = _halvings(most)
    hidden_size, batch_size = config.model.hidden_size, config.batches.batch_size
    step = _step(min(hidden_size, 1024), min(batch_size, 256), "float32")

    def step_on(threads: int) -> Callable[[], None]:
        def work() -> None:
            torch.set_num_threads(threads)
            step()

        return work

    try:
        times = _seconds([step_on(threads) for threads in numbers])
    finally:
        torch.set_num_threads(most)
    seconds = [statistics.median(some) for some in times]
    enough = _MIN_SPEEDUP * min(seconds)
    return next(n for n, taken in zip(numbers, seconds, strict=True) if taken < enough)


def watch_threads(most: int) -> Generator[None, float, None]:
    """Choose the number of threads repeatedly during a run.

    The caller sends the seconds per character of each step. From time to time, or when another
    program has made steps slow, a few steps use fewer or more threads, and the faster number
    stays. This is only for runs of which no bit depends on the number: see `may_vary_threads`.
    """
    numbers = _halvings(most)
    place = numbers.index(most)
    while True:
        torch.set_num_threads(numbers[place])
        usual = yield from _seconds_of_steps()
        for other in {max(place - 1, 0), min(place + 1, len(numbers) - 1)} - {place}:
            torch.set_num_threads(numbers[other])
            if (yield from _seconds_of_steps()) * _MIN_SPEEDUP < usual:
                place = other
                break
        else:
            torch.set_num_threads(numbers[place])
            all_taken = place == len(numbers) - 1
            yield from _until_slower(usual, _TRIAL_SECONDS if all_taken else _EARLY_TRIAL_SECONDS)


def _until_slower(usual: float, seconds: float) -> Generator[None, float, None]:
    recent = deque([usual] * _TRIAL_STEPS, maxlen=_TRIAL_STEPS)
    start = perf_counter()
    while perf_counter() - start < seconds and statistics.median(recent) < _SLOWDOWN * usual:
        recent.append((yield))


def _seconds_of_steps() -> Generator[None, float, float]:
    yield  # the first step with a new number of threads takes longer
    times = []
    for _ in range(_TRIAL_STEPS):
        times.append((yield))
    return statistics.median(times)


def _halvings(most: int) -> list[int]:
    """Return 1, 2, 4, … and `most`."""
    return sorted({most, *(1 << power for power in range(most.bit_length()) if 1 << power <= most)})


def _step(hidden_size: int, batch_size: int, precision: Precision) -> Callable[[], None]:
    """Return a function that runs a short segment of an LSTM, forward and backward."""
    cell = LSTMCell(16, hidden_size)
    cell.precision = precision
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.uniform_(-0.1, 0.1, generator=random)
    ids = torch.zeros(_SEGMENT_STEPS, batch_size, dtype=torch.long)

    def step() -> None:
        outputs, _ = cell.read(ids, None, cell.initial_state(batch_size))
        torch.autograd.backward(outputs, outputs.detach())

    return step


def _seconds(works: Sequence[Callable[[], None]], turns: int = 7) -> list[list[float]]:
    """Return the seconds that each function takes, in turns.

    The first turn allocates memory and does not count.
    """
    times: list[list[float]] = [[] for _ in works]
    for turn in range(turns + 1):
        for work, taken in zip(works, times, strict=True):
            start = perf_counter()
            work()
            if turn > 0:
                taken.append(perf_counter() - start)
    return times
