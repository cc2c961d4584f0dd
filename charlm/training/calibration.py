"""Short measurements that decide settings with the value `auto`: precision and threads."""

from collections.abc import Callable, Sequence
from time import perf_counter

import torch

from charlm.config.schema import Config
from charlm.environment.forks import most_threads
from charlm.files.measurements import remember, remembered
from charlm.kernels.compiler import kernels_version, library
from charlm.kernels.compute import Compute
from charlm.kernels.loading import Precision
from charlm.models.cells import LSTMCell
from charlm.models.device import choose_device

_ALL = torch.get_num_threads()
"""Threads that PyTorch uses by default (one per core), or that the user has set."""
MIN_SPEEDUP = 1.1
"""Factor by which a setting must be faster than the simpler one to be chosen."""
_SEGMENT_STEPS = 16
_TURNS = 7
"""Number of times that each function is measured."""


def choose_compute(config: Config, precision: Precision | None = None) -> Compute:
    """Choose precision and threads of a run; `auto` depends on this machine.

    `precision` is the precision of the run's finished steps, if it has any. With
    `training.deterministic`, nothing is measured. The number of threads is a maximum:
    `watch_threads` uses fewer.
    """
    precision = precision or choose_precision(config)
    threads = config.training.threads
    return Compute(precision, most_threads(_ALL) if threads == "auto" else threads)


def choose_precision(config: Config) -> Precision:
    """Decide the precision of a run that has no finished steps."""
    precision = config.training.precision
    if precision == "auto":
        return measured_precision() if _may_measure(config) else "float32"
    return precision


def _may_measure(config: Config) -> bool:
    return can_compile(config) and not config.training.deterministic


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
    return "bfloat16" if gain > MIN_SPEEDUP else "float32"


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


def _seconds(works: Sequence[Callable[[], None]]) -> list[list[float]]:
    """Return the seconds that each function takes in each turn.

    A turn before them, in which memory is allocated, does not count.
    """
    times: list[list[float]] = [[] for _ in works]
    for turn in range(_TURNS + 1):
        for work, taken in zip(works, times, strict=True):
            start = perf_counter()
            work()
            if turn > 0:
                taken.append(perf_counter() - start)
    return times
