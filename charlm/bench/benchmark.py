"""Measure how fast this machine trains, scores, generates and encodes, and compare with its limits.

Machines are shared, and their speed changes from second to second. So the work to compare takes
turns, and a ratio is the median of the ratios of all turns.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import torch

from charlm.bench.figures import Benchmark
from charlm.bench.model_benchmark import ModelBenchmark, Shape
from charlm.config.schema import Config, CorpusConfig, ModelConfig
from charlm.corpus.builder import build_corpus
from charlm.corpus.catalogue import files_of
from charlm.training.calibration import can_compile, choose_compute
from charlm.training.determinism import engine

_TEXT_BYTES = 24_000_000
"""Number of bytes of text to encode."""


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


def measure(config: Config, shapes: list[Shape], seconds: float = 0.5) -> Benchmark:
    """Measure a config on its text, then other models on this text; a turn takes `seconds`."""
    compute = choose_compute(config)
    torch.set_num_threads(compute.threads)
    corpus = build_corpus(config.corpus)
    ids, vocabulary_size = corpus.splits["train"].ids, len(corpus.vocabulary)
    benchmark = Benchmark(
        {
            "threads": compute.threads,
            "precision": compute.precision if can_compile(config) else "float32",
            "torch": torch.__version__,
        }
    )
    sizes = config.batches.batch_size, config.batches.sequence_length
    for shape in [Shape("config", config.model, *sizes), *shapes]:
        bench = ModelBenchmark(
            shape, config.training, compute.precision, ids, vocabulary_size, seconds
        )
        benchmark.machine.setdefault("engine", engine(bench.model))
        bench.measure_training(benchmark)
        bench.measure_generation(benchmark)
        if shape.name == "config":
            bench.measure_evaluation(benchmark)
    for name, rate in encoding_rates().items():
        benchmark.rates[f"encoding {name}, MB/s"] = rate / 1e6
    return benchmark


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
