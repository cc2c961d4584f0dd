"""Measure training, generation and evaluation of one model, and compare with their limits."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from charlm.bench.figures import Benchmark
from charlm.bench.timing import Work, in_own_process, in_turns, median_ratio
from charlm.config.schema import BatchesConfig, Config, ModelConfig, TrainingConfig
from charlm.corpus.batches import make_batches
from charlm.corpus.vocabulary import Ids
from charlm.kernels.loading import Precision
from charlm.models.device import choose_device, wait_for
from charlm.models.ensemble import AnyModel
from charlm.models.language_model import LanguageModel
from charlm.models.openings import Opening
from charlm.prediction.generated_ids import generate_ids, sample_generators
from charlm.prediction.scoring import total_nats
from charlm.training.trainer import Trainer

NUM_SAMPLES = 64
_PRODUCT_SIZE = 1536
"""Number of rows and columns of the large product that bounds training."""


@dataclass(frozen=True)
class Shape:
    """A model and the batches that it is trained on."""

    name: str
    model: ModelConfig
    batch_size: int
    sequence_length: int


class ModelBenchmark:
    """Measures one model."""

    def __init__(
        self,
        shape: Shape,
        training: TrainingConfig,
        precision: Precision,
        ids: Ids,
        vocabulary_size: int,
        seconds: float,
    ) -> None:
        self.shape, self.config, self.ids, self.seconds = shape, training, ids, seconds
        self.device = choose_device(training.device)
        self.model = LanguageModel(shape.model, vocabulary_size)
        self.model.initialize(torch.Generator().manual_seed(training.seed))
        self.model.to(self.device)
        self.model.precision = precision

    def measure_training(self, benchmark: Benchmark) -> None:
        """Measure whole training steps, the plain loop and large products in turns."""
        training, plain_training = "training", "training in a plain loop of torch.nn"
        with in_own_process(self.plain_loop) as plain:
            rates = in_turns(
                {
                    training: self.trainer(),
                    plain_training: plain,
                    "float32": _product("float32", self.device),
                    "bfloat16": _product("bfloat16", self.device),
                },
                self.seconds,
            )
        charlm, plain_loop, *products = rates.values()
        name = self.shape.name
        benchmark.add_rates(name, {training: charlm, plain_training: plain_loop})
        for precision in ("float32", "bfloat16"):
            key = f"{precision} products, GFLOP/s"
            rate = statistics.median(rates[precision]) / 1e9
            benchmark.rates[key] = max(rate, benchmark.rates.get(key, 0.0))
        operations = 6 * self.model.num_parameters  # per character, forward and backward
        fastest = [max(pair) for pair in zip(*products, strict=True)]
        share = operations * median_ratio(charlm, fastest)
        benchmark.add_ratio(f"{name}: training, share of large products", share)
        times = median_ratio(charlm, plain_loop)
        benchmark.add_ratio(f"{name}: training, times the plain loop", times)

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
                "generation": generation(self.model, self.ids[:1], 1),
                f"generation, {NUM_SAMPLES} samples": generation(
                    self.model, self.ids[:1], NUM_SAMPLES
                ),
                "reading the weights once per character": self._read_weights(),
            },
            self.seconds,
        )
        benchmark.add_rates(self.shape.name, rates)
        one, many, bound = rates.values()
        name = f"{self.shape.name}: generation"
        benchmark.add_ratio(f"{name}, share of its bound", median_ratio(one, bound))
        benchmark.add_ratio(f"{name}, {NUM_SAMPLES} samples over one", median_ratio(many, one))

    def measure_evaluation(self, benchmark: Benchmark) -> None:
        """Measure exact scoring, and scoring in 16 streams."""
        text = self.ids[:20_000]

        def score(rows: int) -> Work:
            def work() -> float:
                total_nats(self.model, text, rows)
                return float(len(text) - 1)

            return work

        works = {"evaluation, exact": score(1), "evaluation, 16 rows": score(16)}
        benchmark.add_rates(self.shape.name, in_turns(works, self.seconds))

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
            wait_for(self.device)
            torch.set_num_threads(threads)
            return 32.0

        return work


def generation(model: AnyModel, prefix: Ids, num_samples: int) -> Work:
    """Return the work of generating 32 characters of each sample."""
    config = Config().generation.replace(length=1 << 62)
    opening = Opening.of_prefix(model, prefix)
    drawn: Iterator[Tensor] = generate_ids(
        model, opening, config, sample_generators(0, num_samples)
    )
    return lambda: float(sum(len(next(drawn)) for _ in range(32)))


def _product(precision: Precision, device: torch.device) -> Work:
    dtype = getattr(torch, precision)
    factor = torch.ones(_PRODUCT_SIZE, _PRODUCT_SIZE, dtype=dtype, device=device)

    def work() -> float:
        factor @ factor
        wait_for(device)
        return 2.0 * _PRODUCT_SIZE**3

    return work
