"""Measure how fast this machine trains, scores, generates and encodes, and compare with its limits.

Machines are shared, and their speed changes from second to second. So the work to compare takes
turns, and a ratio is the median of the ratios of all turns.
"""

import os
import platform
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import torch

from charlm.bench.figures import Benchmark
from charlm.bench.mixture_benchmark import MixtureBenchmark
from charlm.bench.model_benchmark import ModelBenchmark, Shape
from charlm.config.schema import Config, CorpusConfig, ModelConfig
from charlm.corpus.builder import build_corpus
from charlm.corpus.catalogue import files_of
from charlm.environment.processor import processor_name
from charlm.environment.version import charlm_version
from charlm.training.calibration import can_compile, choose_compute
from charlm.training.determinism import engine

_TEXT_BYTES = 24_000_000
"""Number of bytes of text to encode."""
_GIT_SECONDS = 10.0
"""Longest wait for the commit."""


def standard_shapes() -> list[Shape]:
    """Return one layer of `lstm`, `gru` and `rnn`, at three sizes."""
    return [
        Shape(
            f"{cell} {hidden_size}",
            ModelConfig.model_validate({"cell": cell, "hidden_size": hidden_size}),
            batch_size=32 if hidden_size < 512 else 64,
            sequence_length=128,
        )
        for hidden_size in (256, 512, 1024)
        for cell in ("lstm", "gru", "rnn")
    ]


def measure(
    config: Config,
    shapes: list[Shape],
    mixtures: list[Config],
    seconds: float = 0.3,
    emit: Callable[[str, str], None] = lambda name, value: None,
) -> Benchmark:
    """Measure a config on its text, then other models and mixtures on this text.

    A turn takes `seconds`. `emit` receives the name and the value of each figure when it is
    measured.
    """
    compute = choose_compute(config)
    torch.set_num_threads(compute.threads)
    corpus = build_corpus(config.corpus)
    ids, vocabulary_size = corpus.splits["train"].ids, len(corpus.vocabulary)
    benchmark = Benchmark({}, emit=emit)
    benchmark.add_machine(**_versions(), threads=compute.threads)
    benchmark.add_machine(precision=compute.precision if can_compile(config) else "float32")
    sizes = config.batches.batch_size, config.batches.sequence_length
    for shape in [Shape("config", config.model, *sizes), *shapes]:
        bench = ModelBenchmark(
            shape, config.training, compute.precision, ids, vocabulary_size, seconds
        )
        if "engine" not in benchmark.machine:
            benchmark.add_machine(engine=engine(bench.model))
        bench.measure_training(benchmark)
        bench.measure_generation(benchmark)
        if shape.name == "config":
            bench.measure_evaluation(benchmark)
    mixture_bench = MixtureBenchmark(ids, corpus.vocabulary, seconds)
    for mixture in mixtures:
        mixture_bench.measure_generation(mixture, benchmark)
    if mixtures:
        mixture_bench.measure_loading(mixtures[0], benchmark)
        mixture_bench.measure_counting(benchmark)
    for name, rate in encoding_rates().items():
        benchmark.add_rate(f"encoding {name}, MB/s", rate / 1e6)
    benchmark.add_products()
    return benchmark


def _versions() -> dict[str, Any]:
    """Return the date, the processor, and the versions that the figures depend on."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "charlm": charlm_version(),
        "commit": _commit(),
    }


def _commit() -> str | None:
    """Return the commit of the checkout that this package is in, or None."""
    try:
        found = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short=12", "HEAD"],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


def encoding_rates() -> dict[str, float]:
    """Return bytes per second from a file to ids on disk, for two texts that every machine has."""
    rates = {}
    for name in ("python-docs", "lyrics-zh"):
        text = b"".join(path.read_bytes() for path in files_of(name))
        with TemporaryDirectory() as folder, _cache_in(folder):
            path = Path(folder, "text")
            path.write_bytes(text * max(1, _TEXT_BYTES // len(text)))
            start = perf_counter()
            build_corpus(CorpusConfig(paths=(str(path),)))
            rates[name] = path.stat().st_size / (perf_counter() - start)
    return rates


@contextmanager
def _cache_in(folder: str) -> Iterator[None]:
    previous = os.environ.get("CHARLM_CACHE")
    os.environ["CHARLM_CACHE"] = folder
    try:
        yield
    finally:
        del os.environ["CHARLM_CACHE"]
        if previous is not None:
            os.environ["CHARLM_CACHE"] = previous
