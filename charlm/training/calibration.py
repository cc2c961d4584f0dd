"""Settings that are `auto`: what is fastest on this machine, by short measurements."""

import os
import statistics
from collections import deque
from collections.abc import Callable, Generator, Sequence
from time import perf_counter

import torch

from charlm.config.schema import Config
from charlm.environment.forks import most_threads
from charlm.files.measurements import remember, remembered
from charlm.kernels.compiler import kernels_version, library
from charlm.kernels.loading import Precision
from charlm.models.cells import LSTMCell
from charlm.models.language_model import choose_device

_ALL = torch.get_num_threads()
"""Threads that PyTorch takes of itself, or as the user has said: one a core."""
_GAIN = 1.1
"""How much faster a setting must be than the simpler one to be taken."""
_STEPS = 16
_TRIAL = 6
"""Steps of a run that are timed with another number of threads."""
_TRIAL_EVERY, _TRIAL_SOON = 30.0, 5.0
"""Seconds after which other numbers are tried though nothing has changed; with fewer than most."""
_SLOWER = 1.25
"""How much longer steps must take than usual for it to be tried at once."""


def resolve(config: Config) -> Config:
    """Return the config with every `auto` that depends on the machine's speed decided.

    Where the run is to be deterministic, not by its speed.
    """
    measures = not config.training.deterministic
    compiled = can_compile(config)
    threads, precision = config.training.threads, config.training.precision
    if precision == "auto":
        precision = choose_precision() if compiled and measures else "float32"
    if threads == "auto":
        watched = precision == "bfloat16"  # `watch_threads` takes fewer where that is faster
        is_measured = compiled and measures and not watched
        threads = choose_threads(config) if is_measured else most_threads(_ALL)
    return config.replace(training={"threads": threads, "precision": precision})


def can_compile(config: Config) -> bool:
    """Say whether charlm's own kernels train this config here."""
    on_cpu = choose_device(config.training.device).type == "cpu"
    return on_cpu and config.model.implementation == "fused" and library() is not None


def choose_precision() -> Precision:
    """Take bfloat16 where its products are really faster; measured once a machine."""
    key = f"bfloat16 gain, torch {torch.__version__}, {kernels_version()}"
    gain = remembered(key)
    if not isinstance(gain, float):
        works = [_step(256, 32, "float32"), _step(256, 32, "bfloat16")]
        single, half = map(min, _seconds(works))  # whatever else goes on only makes them longer
        gain = single / half
        remember(key, gain)
    return "bfloat16" if gain > _GAIN else "float32"


def choose_threads(config: Config) -> int:
    """Take as many threads as are of use for this config now, on a machine that may be busy.

    Whoever has set `OMP_NUM_THREADS` has chosen already.
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
    enough = _GAIN * min(seconds)
    return next(n for n, taken in zip(numbers, seconds, strict=True) if taken < enough)


def watch_threads(most: int) -> Generator[None, float, None]:
    """Choose the number of threads again and again while a run goes on.

    Each step's seconds a character are sent in. Now and then, or when steps have become slow
    because something else has come to the machine, a few are taken with fewer or more threads,
    and whichever are faster stay. Only for runs in bfloat16: no bit of theirs depends on the
    number, while PyTorch's float32 product of the softmax layer adds up differently from four
    threads on.
    """
    numbers = _halvings(most)
    place = numbers.index(most)
    while True:
        torch.set_num_threads(numbers[place])
        usual = yield from _seconds_of_steps()
        for other in {max(place - 1, 0), min(place + 1, len(numbers) - 1)} - {place}:
            torch.set_num_threads(numbers[other])
            if (yield from _seconds_of_steps()) * _GAIN < usual:
                place = other
                break
        else:
            torch.set_num_threads(numbers[place])
            all_taken = place == len(numbers) - 1
            yield from _until_slower(usual, _TRIAL_EVERY if all_taken else _TRIAL_SOON)


def _until_slower(usual: float, seconds: float) -> Generator[None, float, None]:
    recent = deque([usual] * _TRIAL, maxlen=_TRIAL)
    start = perf_counter()
    while perf_counter() - start < seconds and statistics.median(recent) < _SLOWER * usual:
        recent.append((yield))


def _seconds_of_steps() -> Generator[None, float, float]:
    yield  # the first step with a new number of threads is not like the others
    times = []
    for _ in range(_TRIAL):
        times.append((yield))
    return statistics.median(times)


def _halvings(most: int) -> list[int]:
    """Return 1, 2, 4, … and `most`."""
    return sorted({most, *(1 << power for power in range(most.bit_length()) if 1 << power <= most)})


def _step(hidden_size: int, batch_size: int, precision: Precision) -> Callable[[], None]:
    """Return a short stretch of an LSTM, forward and backward."""
    cell = LSTMCell(16, hidden_size)
    cell.precision = precision
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.uniform_(-0.1, 0.1, generator=random)
    ids = torch.zeros(_STEPS, batch_size, dtype=torch.long)

    def step() -> None:
        outputs, _ = cell.read(ids, None, cell.initial_state(batch_size))
        torch.autograd.backward(outputs, outputs.detach())

    return step


def _seconds(works: Sequence[Callable[[], None]], turns: int = 7) -> list[list[float]]:
    """Return how long each takes, in turns; the first has memory to get, and is left out."""
    times: list[list[float]] = [[] for _ in works]
    for turn in range(turns + 1):
        for work, taken in zip(works, times, strict=True):
            start = perf_counter()
            work()
            if turn > 0:
                taken.append(perf_counter() - start)
    return times
