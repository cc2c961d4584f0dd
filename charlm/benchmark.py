"""How fast a config trains, scores and generates on this machine."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import torch

from charlm.batches import make_batches
from charlm.config import Config
from charlm.corpus import build_corpus
from charlm.evaluator import total_nats
from charlm.generator import first_ids, generate_ids
from charlm.model import LanguageModel, choose_device
from charlm.trainer import Trainer

_SAMPLES = 64


@dataclass(frozen=True)
class Rates:
    """Characters per second, each the median of several stretches after a warm-up."""

    training: float
    evaluation: float
    generation: float
    generation_of_64: float
    """In total, of 64 samples drawn side by side."""
    num_parameters: int
    device: str
    threads: int
    torch: str

    def named(self) -> dict[str, float]:
        return {
            "training": self.training,
            "evaluation, one row": self.evaluation,
            "generation": self.generation,
            f"generation, {_SAMPLES} samples": self.generation_of_64,
        }


def measure(config: Config, seconds: float = 2.0, repeats: int = 5) -> Rates:
    """Measure a config on its own text; each rate takes about `repeats` × `seconds`."""
    corpus = build_corpus(config.corpus)
    device = choose_device(config.training.device)
    model = LanguageModel(config.model, len(corpus.vocabulary))
    model.initialize(torch.Generator().manual_seed(config.training.seed))
    model.to(device)
    ids = corpus.parts["train"].ids
    batches = make_batches(ids, config.batches, config.training.seed)
    trainer = Trainer(model, batches, config.training, clock=lambda: 0.0)
    text = ids[:20_000]
    prefix = first_ids(corpus.vocabulary)
    endless = config.generation.model_copy(update={"length": 1 << 62})

    def generate(num_samples: int) -> Callable[[], int]:
        random = torch.Generator().manual_seed(0)
        steps = generate_ids(
            model, prefix, endless, random, num_samples, corpus.vocabulary.unknown_id
        )
        return lambda: len(next(steps))

    def score() -> int:
        total_nats(model, text)
        return len(text) - 1

    def rate(work: Callable[[], int]) -> float:
        return _median_rate(work, seconds, repeats)

    return Rates(
        training=rate(lambda: trainer.take_step(next(batches), 0.5).characters),
        evaluation=rate(score),
        generation=rate(generate(1)),
        generation_of_64=rate(generate(_SAMPLES)),
        num_parameters=model.num_parameters,
        device=device.type,
        threads=torch.get_num_threads(),
        torch=torch.__version__,
    )


def _median_rate(work: Callable[[], int], seconds: float, repeats: int) -> float:
    """Repeat `work`, which returns how many characters it did, and return the median rate."""
    rates = []
    work()
    for _ in range(repeats):
        done, start = 0, perf_counter()
        while (elapsed := perf_counter() - start) < seconds:
            done += work()
        rates.append(done / elapsed)
    return statistics.median(rates)
