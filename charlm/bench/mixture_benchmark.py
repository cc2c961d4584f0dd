"""Measure mixtures of networks and n-grams: generation, counting, and loading."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from charlm.bench.figures import Benchmark
from charlm.bench.model_benchmark import NUM_SAMPLES, generation
from charlm.bench.timing import Work, in_turns, median_ratio
from charlm.config.schema import Config, EnsembleConfig, ModelConfig
from charlm.corpus.vocabulary import Ids, Vocabulary
from charlm.kernels import compiler
from charlm.models.ensemble import Ensemble
from charlm.models.language_model import LanguageModel
from charlm.models.ngrams import KernelNGrams, NGrams, NumpyNGrams
from charlm.prediction.predictor import load
from charlm.runs.checkpoint import Checkpoint, write_checkpoint

_ORDER = 7
_MAX_CHARACTERS = 1_000_000
"""Largest number of characters to count."""


def standard_mixtures() -> list[Config]:
    """Return one network of 384 units, then three of 512, each with n-grams."""
    return [
        Config(
            model=ModelConfig(hidden_size=hidden_size),
            ensemble=EnsembleConfig(members=members, ngram_order=_ORDER),
        )
        for members, hidden_size in ((1, 384), (3, 512))
    ]


class MixtureBenchmark:
    """Measures mixtures whose n-grams are counted in the last characters of one text."""

    def __init__(self, ids: Ids, vocabulary: Vocabulary, seconds: float) -> None:
        self.ids, self.vocabulary, self.seconds = ids[-_MAX_CHARACTERS:], vocabulary, seconds

    def measure_generation(self, config: Config, benchmark: Benchmark) -> None:
        """Measure a mixture, its networks alone, and many samples in turns, on the CPU."""
        mixture, model = self._make_mixture(config), config.model
        name = f"mixture of {config.ensemble.size} × {model.cell} {model.hidden_size}"
        networks = [generation(member, self.ids[:1], 1) for member in mixture.members]
        rates = in_turns(
            {
                "generation": generation(mixture, self.ids[:1], 1),
                "generation, its networks alone": _one_after_another(networks),
                f"generation, {NUM_SAMPLES} samples": generation(
                    mixture, self.ids[:1], NUM_SAMPLES
                ),
            },
            self.seconds,
        )
        benchmark.add_rates(name, rates)
        one, alone, many = rates.values()
        share = f"{name}: generation, share of its networks alone"
        benchmark.add_ratio(share, median_ratio(one, alone))
        over_one = f"{name}: generation, {NUM_SAMPLES} samples over one"
        benchmark.add_ratio(over_one, median_ratio(many, one))

    def measure_loading(self, config: Config, benchmark: Benchmark) -> None:
        """Measure loading a mixture from its checkpoint, which counts the n-grams again."""
        tensors = self._make_mixture(config).tensors()
        with TemporaryDirectory() as folder:
            path = Path(folder, "mixture.safetensors")
            write_checkpoint(path, Checkpoint(config, self.vocabulary, "", tensors))

            def work() -> float:
                load(path, device="cpu")
                return float(len(self.ids))

            (rates,) = in_turns({"loading": work}, self.seconds).values()
        milliseconds = 1000 * len(self.ids) / statistics.median(rates)
        name = f"loading a mixture of {len(self.ids):,} counted characters, ms"
        benchmark.add_rate(name, milliseconds)

    def measure_counting(self, benchmark: Benchmark) -> None:
        """Measure counting n-grams in the kernels, if they are available, and in numpy in turns."""
        kinds: dict[str, type[NGrams]] = {"counting n-grams in numpy": NumpyNGrams}
        if compiler.library() is not None:
            kinds["counting n-grams in the kernels"] = KernelNGrams
        rates = in_turns({name: self._count(kind) for name, kind in kinds.items()}, self.seconds)
        for name, turns in rates.items():
            benchmark.add_rate(name, statistics.median(turns))
        if len(rates) == 2:
            share = median_ratio(*rates.values())
            benchmark.add_ratio("counting n-grams: numpy, share of the kernels", share)

    def _make_mixture(self, config: Config) -> Ensemble:
        """Make a mixture of untrained networks, so that its n-grams alone determine the text.

        Then its contexts are as long as in the text of a trained mixture.
        """
        networks = []
        for seed in range(config.ensemble.size):
            network = LanguageModel(config.model, len(self.vocabulary))
            network.initialize(torch.Generator().manual_seed(seed))
            networks.append(network.eval())
        weights = torch.ones(_ORDER + 1, len(networks) + _ORDER + 1, dtype=torch.float64)
        weights[:, : len(networks)] = 0
        return Ensemble(networks, _ORDER, np.asarray(self.ids), weights)

    def _count(self, kind: type[NGrams]) -> Work:
        before = np.full(_ORDER, -1)
        padded = np.concatenate([before, np.asarray(self.ids).astype(np.int64)])

        def work() -> float:
            kind(_ORDER, len(self.vocabulary)).count(padded)
            return float(len(self.ids))

        return work


def _one_after_another(works: Sequence[Work]) -> Work:
    """Return one work that does all of them; its amount is the amount of one."""
    return lambda: min([work() for work in works])
