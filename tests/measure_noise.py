"""Measure how many samples of a model are noise: text that no 5-gram model of its text explains.

    python tests/measure_noise.py RUN [RUN ...] [--seeds 30] [--length 300]

Each run's model writes one sample a seed: without a prefix, and after the first one and the first
three characters of a paragraph of its training text, from the zero state. A 5-gram model with
Witten-Bell smoothing, counted on the training split, scores each 50 characters of a sample, in nats
per character. A sample is noise if 50 characters of it score above the threshold: half way from
real text (as many stretches of the test split) to characters drawn uniformly from the vocabulary.
"""

import argparse
import math
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

import charlm
from charlm.corpus.builder import build_corpus
from charlm.prediction.predictor import Predictor

_ORDER = 5
_PIECE = 50
Context = tuple[int, ...]


class FiveGrams:
    """Counts of what followed each context of up to four ids, smoothed by Witten and Bell."""

    def __init__(self, ids: Sequence[int], size: int) -> None:
        self._size = size
        self._counts: dict[Context, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        for place in range(_ORDER - 1, len(ids)):
            for length in range(_ORDER):
                self._counts[tuple(ids[place - length : place])][ids[place]] += 1
        self._totals = {context: sum(found.values()) for context, found in self._counts.items()}

    def nats(self, ids: Sequence[int]) -> float:
        """Return the mean nats per character."""
        probabilities = (
            self._probability(tuple(ids[max(0, place - _ORDER + 1) : place]), ids[place])
            for place in range(len(ids))
        )
        return -sum(map(math.log, probabilities)) / len(ids)

    def _probability(self, context: Context, following: int) -> float:
        probability = 1 / self._size
        for length in range(len(context) + 1):
            own = context[len(context) - length :]
            if own not in self._totals:
                break
            found, total = self._counts[own], self._totals[own]
            count = found.get(following, 0)
            probability = (count + len(found) * probability) / (total + len(found))
        return probability


def pieces(model: FiveGrams, ids: Sequence[int]) -> list[float]:
    """Return the nats per character of each piece of a text."""
    return [model.nats(ids[at : at + _PIECE]) for at in range(0, len(ids) - _PIECE + 1, _PIECE)]


def samples(
    model: Predictor, prefixes: Sequence[str], seeds: int, length: int
) -> Iterator[list[int]]:
    """Return the ids that each seed writes, with the prefix at its place."""
    for seed, prefix in zip(range(seeds), prefixes, strict=True):
        text = "".join(charlm.generate(model, prefix, seed=seed, length=length))
        yield model.vocabulary.encode_text(text, "map").tolist()


def measure(run: Path, seeds: int, length: int) -> None:
    """Print a table of one run."""
    model = charlm.load(run)
    parts = build_corpus(model.config.corpus, model.vocabulary).splits
    train, test = parts["train"].ids, parts["test"].ids.tolist()
    grams = FiveGrams(train.tolist(), len(model.vocabulary))
    starts = np.linspace(0, len(test) - length, seeds).astype(int)
    real = [test[start : start + length] for start in starts]
    drawn = np.random.default_rng(0).integers(1, len(model.vocabulary), (seeds, length)).tolist()
    ends = [float(np.mean([pieces(grams, ids) for ids in texts])) for texts in (real, drawn)]
    threshold = sum(ends) / 2
    print(f"{run}: real text {ends[0]:.2f}, uniform {ends[1]:.2f}, threshold {threshold:.2f}")
    paragraphs = [p.lstrip() for p in model.vocabulary.decode(train).split("\n\n")]
    paragraphs = [p for p in paragraphs if len(p) > 3]
    chosen = [paragraphs[i] for i in np.linspace(0, len(paragraphs) - 1, seeds).astype(int)]
    rows = {"real text": iter(real), "uniform": iter(drawn)} | {
        name: samples(model, [p[:characters] for p in chosen], seeds, length)
        for name, characters in (("no prefix", 0), ("1 character", 1), ("3 characters", 3))
    }
    for name, written in rows.items():
        worst = sorted(max(pieces(grams, ids)) for ids in written)
        noise = sum(nats > threshold for nats in worst)
        last = ", ".join(f"{nats:.2f}" for nats in worst[-3:])
        print(
            f"  {name:13} noise in {noise:2} of {seeds}"
            f"   median {np.median(worst):.2f}, highest {last}"
        )
        sys.stdout.flush()


def main() -> None:
    """Measure the runs of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--length", type=int, default=300)
    options = parser.parse_args()
    for run in options.runs:
        measure(run, options.seeds, options.length)


if __name__ == "__main__":
    main()
