"""Measure training beside another busy process, for `charlm bench --busy`."""

import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import torch

from charlm.bench.model_benchmark import ModelBenchmark, Shape
from charlm.bench.timing import median_ratio
from charlm.config.schema import Config
from charlm.corpus.builder import build_corpus
from charlm.kernels.loading import Precision
from charlm.training.calibration import can_compile, choose_compute
from charlm.training.thread_trials import watch_threads

_NUM_TURNS = 3
_PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


@dataclass(frozen=True)
class BusyRates:
    """Training in one precision, with automatic threads: on a quiet and on a busy machine."""

    precision: Precision
    quiet: float
    """Characters per second."""
    busy: float
    """Characters per second beside one busy process."""
    kept: float
    """Fraction of the quiet rate: the median of all turns."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def measure_busy(config: Config, seconds: float) -> Iterator[BusyRates]:
    """Train in each precision while a busy process comes and goes, each time for some seconds."""
    most = choose_compute(config).threads
    corpus = build_corpus(config.corpus)
    ids, size = corpus.splits["train"].ids, len(corpus.vocabulary)
    shape = Shape("config", config.model, config.batches.batch_size, config.batches.sequence_length)
    for precision in _PRECISIONS if can_compile(config) else _PRECISIONS[:1]:
        bench = ModelBenchmark(shape, config.training, precision, ids, size, seconds)
        step, watch = bench.trainer(), watch_threads(most)
        next(watch)

        def rate(step: Any = step, watch: Any = watch) -> float:
            characters, start = 0.0, perf_counter()
            while characters == 0 or perf_counter() - start < seconds:
                step_start = perf_counter()
                taken = step()
                watch.send((perf_counter() - step_start) / taken)
                characters += taken
            return characters / (perf_counter() - start)

        rate()
        quiet, busy = [], []
        for _ in range(_NUM_TURNS):
            quiet.append(rate())
            with _busy_process():
                busy.append(rate())
        torch.set_num_threads(most)
        yield BusyRates(
            precision,
            statistics.median(quiet),
            statistics.median(busy),
            median_ratio(busy, quiet),
        )


@contextmanager
def _busy_process() -> Iterator[None]:
    """Keep one core busy in the block."""
    with subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()
