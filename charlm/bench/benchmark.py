"""Measure how fast this machine trains, scores, generates and encodes, and compare with its limits.

Machines are shared, and their speed changes from second to second. So the work to compare takes
turns, and a ratio is the median of the ratios of all turns.
"""

import os
import statistics
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from charlm.bench.timing import Work, in_own_process, in_turns, median_ratio
from charlm.config.schema import BatchesConfig, Config, CorpusConfig, ModelConfig, TrainingConfig
from charlm.corpus.batches import make_batches
from charlm.corpus.builder import build_corpus
from charlm.corpus.catalogue import files_of
from charlm.corpus.vocabulary import Ids
from charlm.kernels.loading import Precision
from charlm.models.language_model import LanguageModel, choose_device
from charlm.models.openings import Opening
from charlm.prediction.generation import generate_ids, sample_generators
from charlm.prediction.scoring import total_nats
from charlm.training.calibration import can_compile, resolve
from charlm.training.determinism import engine
from charlm.training.trainer import Trainer

NUM_SAMPLES = 64
_PRODUCT_SIZE = 1536
"""Number of rows and columns of the large product that bounds training."""
_TEXT_BYTES = 24_000_000
"""Number of bytes of text to encode."""
_MOST_LOSS_FRACTION = 0.15
"""Fraction that a ratio may lose before a check fails; machines vary by less."""


@dataclass(frozen=True)
class Benchmark:
    """Rates in characters per second unless their name says otherwise, and ratios between them."""

    machine: dict[str, Any]
    rates: dict[str, float] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"machine": self.machine, "rates": self.rates, "ratios": self.ratios}

    def losses(self, earlier: Mapping[str, float]) -> dict[str, tuple[float, float]]:
        """Return both values of each ratio that is clearly below that of an earlier benchmark."""
        return {
            name: (earlier[name], ratio)
            for name, ratio in self.ratios.items()
            if name in earlier and ratio < (1 - _MOST_LOSS_FRACTION) * earlier[name]
        }


@dataclass(frozen=True)
class Shape:
    """A model and the batches that it is trained on."""

    name: str
    model: ModelConfig
    batch_size: int
    sequence_length: int


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
    config = resolve(config)
    torch.set_num_threads(int(config.training.threads))
    corpus = build_corpus(config.corpus)
    ids, vocabulary_size = corpus.parts["train"].ids, len(corpus.vocabulary)
    benchmark = Benchmark(
        {
            "threads": config.training.threads,
            "precision": config.training.product_precision if can_compile(config) else "float32",
            "torch": torch.__version__,
        }
    )
    sizes = config.batches.batch_size, config.batches.sequence_length
    for shape in [Shape("config", config.model, *sizes), *shapes]:
        bench = Bench(shape, config.training, ids, vocabulary_size, seconds)
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


class Bench:
    """Measures one model."""

    def __init__(
        self,
        shape: Shape,
        training: TrainingConfig,
        ids: Ids,
        vocabulary_size: int,
        seconds: float,
    ) -> None:
        self.shape, self.config, self.ids, self.seconds = shape, training, ids, seconds
        self.device = choose_device(training.device)
        self.model = LanguageModel(shape.model, vocabulary_size)
        self.model.initialize(torch.Generator().manual_seed(training.seed))
        self.model.to(self.device)
        self.model.precision = training.product_precision

    def measure_training(self, benchmark: Benchmark) -> None:
        """Measure whole training steps, the plain loop and large products in turns."""
        with in_own_process(self.plain_loop) as plain:
            rates = in_turns(
                {
                    "charlm": self.trainer(),
                    "plain": plain,
                    "float32": _product("float32", self.device),
                    "bfloat16": _product("bfloat16", self.device),
                },
                self.seconds,
            )
        operations = 6 * self.model.num_parameters  # per character, forward and backward
        name = self.shape.name
        benchmark.rates[f"{name}: training"] = statistics.median(rates["charlm"])
        benchmark.rates[f"{name}: training in a plain loop of torch.nn"] = statistics.median(
            rates["plain"]
        )
        for precision in ("float32", "bfloat16"):
            key = f"{precision} products, GFLOP/s"
            rate = statistics.median(rates[precision]) / 1e9
            benchmark.rates[key] = max(rate, benchmark.rates.get(key, 0.0))
        fastest = [max(pair) for pair in zip(rates["float32"], rates["bfloat16"], strict=True)]
        benchmark.ratios[f"{name}: training, share of large products"] = operations * median_ratio(
            rates["charlm"], fastest
        )
        benchmark.ratios[f"{name}: training, times the plain loop"] = median_ratio(
            rates["charlm"], rates["plain"]
        )

    def trainer(self) -> Work:
        """Return the work of one training step of charlm."""
        shape = self.shape
        batches = make_batches(
            self.ids,
            BatchesConfig(batch_size=shape.batch_size, sequence_length=shape.sequence_length),
            self.config.seed,
        )
        trainer = Trainer(self.model, batches, self.config, clock=lambda: 0.0)
        return lambda: float(trainer.take_step(next(batches), 0.5).characters)

    @property
    def plain_loop(self) -> dict[str, Any]:
        """Arguments of a `PlainLoop` that does the same work."""
        shape = self.shape
        return {
            **shape.model.model_dump(
                include={"cell", "nonlinearity", "hidden_size", "num_layers", "dropout"}
            ),
            "embedding_size": shape.model.embedding_size or self.model.vocabulary_size,
            "vocabulary_size": self.model.vocabulary_size,
            "batch_size": shape.batch_size,
            "sequence_length": shape.sequence_length,
            "max_gradient_norm": self.config.max_gradient_norm,
            "device": str(self.device),
        }

    def measure_generation(self, benchmark: Benchmark) -> None:
        """Measure one sample, many samples, and reading the weights once per character in turns."""
        rates = in_turns(
            {
                "one": self._generate(1),
                "many": self._generate(NUM_SAMPLES),
                "bound": self._read_weights(),
            },
            self.seconds,
        )
        name = self.shape.name
        benchmark.rates[f"{name}: generation"] = statistics.median(rates["one"])
        benchmark.rates[f"{name}: generation, {NUM_SAMPLES} samples"] = statistics.median(
            rates["many"]
        )
        benchmark.rates[f"{name}: reading the weights once a character"] = statistics.median(
            rates["bound"]
        )
        benchmark.ratios[f"{name}: generation, share of its bound"] = median_ratio(
            rates["one"], rates["bound"]
        )
        benchmark.ratios[f"{name}: generation, {NUM_SAMPLES} samples over one"] = median_ratio(
            rates["many"], rates["one"]
        )

    def measure_evaluation(self, benchmark: Benchmark) -> None:
        """Measure exact scoring, and scoring in 16 streams."""
        text = self.ids[:20_000]

        def score(rows: int) -> Work:
            def work() -> float:
                total_nats(self.model, text, rows)
                return float(len(text) - 1)

            return work

        rates = in_turns({"one": score(1), "many": score(16)}, self.seconds)
        name = self.shape.name
        benchmark.rates[f"{name}: evaluation, exact"] = statistics.median(rates["one"])
        benchmark.rates[f"{name}: evaluation, 16 rows"] = statistics.median(rates["many"])

    def _generate(self, num_samples: int) -> Work:
        config = Config().generation.replace(length=1 << 62)
        opening = Opening.of_prefix(self.model, self.ids[:1])
        generators = sample_generators(0, num_samples)
        drawn: Iterator[Tensor] = generate_ids(self.model, opening, config, generators)
        return lambda: float(sum(len(next(drawn)) for _ in range(32)))

    def _read_weights(self) -> Work:
        """Read as many floats as the recurrent and softmax layers have, on one thread."""
        once_only = {"embedding", "layers.0.W_xh", "layers.0.b_h"}  # one row per character
        size = sum(p.numel() for n, p in self.model.named_parameters() if n not in once_only)
        weights = torch.ones(size, device=self.device)

        def work() -> float:
            threads = torch.get_num_threads()
            torch.set_num_threads(1)
            for _ in range(32):
                weights.sum()
            torch.set_num_threads(threads)
            return 32.0

        return work


def _product(precision: Precision, device: torch.device) -> Work:
    dtype = getattr(torch, precision)
    factor = torch.ones(_PRODUCT_SIZE, _PRODUCT_SIZE, dtype=dtype, device=device)

    def work() -> float:
        factor @ factor
        return 2.0 * _PRODUCT_SIZE**3

    return work
