"""Compare the processor time of libraries of the kernels at the same work, in one thread.

    python tests/measure_libraries.py FIRST OTHER…

Prints, for each kind of work, the milliseconds of the first library, and the times of the others as
fractions of it: medians over all turns. The libraries need vectors of the same width.
"""

import ctypes
import statistics
import sys
from collections.abc import Callable
from time import process_time

import numpy as np
import torch

from charlm.config.schema import GenerationConfig, ModelConfig
from charlm.kernels import loading
from charlm.models.language_model import LanguageModel
from charlm.models.ngrams import KernelNGrams, first_weights
from charlm.prediction.compiled_generation import CompiledGenerator

TURNS = 25
SYMBOLS, ORDER = 65, 7
Works = dict[str, Callable[[], object]]


def network_works() -> Works:
    """Return a training step of an LSTM of 256 units, and the generation of 200 characters."""
    model = LanguageModel(ModelConfig(hidden_size=256), SYMBOLS)
    model.initialize(torch.Generator().manual_seed(0))
    ids = torch.randint(SYMBOLS, (64, 32))
    logits, uniforms = torch.zeros(1, SYMBOLS), torch.rand(200, 1, dtype=torch.float64)

    def train(precision: loading.Precision) -> None:
        with loading.computing_in(precision):
            loss, _ = model.loss(ids[:-1], ids[1:], model.initial_state(32))
            torch.autograd.backward(loss)

    def generate() -> None:
        state = model.initial_state(1)
        CompiledGenerator(model, logits, state, GenerationConfig(), None).generate(uniforms)

    return {
        "training, float32": lambda: train("float32"),
        "training, bfloat16": lambda: train("bfloat16"),
        "generation": generate,
    }


def count_works() -> Works:
    """Return the counting of 100,000 characters, and 300 predictions of a mixture."""
    random = np.random.default_rng(0)
    text = np.minimum(random.geometric(0.1, 100_000), SYMBOLS) - 1
    counted = KernelNGrams(ORDER, SYMBOLS)
    counted.count(text)
    members = random.standard_normal((300, 1, SYMBOLS)).astype(np.float32)
    weights = first_weights(ORDER, 1)
    return {
        "counting": lambda: KernelNGrams(ORDER, SYMBOLS).count(text),
        "mixing": lambda: counted.mix(text[: ORDER + 300], members, weights),
    }


def main(paths: list[str]) -> None:
    """Print the times."""
    torch.set_num_threads(1)
    libraries = [ctypes.CDLL(path) for path in paths]
    works: list[Works] = []
    for library in libraries:
        use(library)
        works.append(network_works() | count_works())
    for name in works[0]:
        times: list[list[float]] = [[] for _ in libraries]
        for _ in range(TURNS + 1):
            for library, work, taken in zip(libraries, works, times, strict=True):
                use(library)
                start = process_time()
                work[name]()
                taken.append(process_time() - start)
        first, *others = (taken[1:] for taken in times)  # without the first turn
        ratios = [
            statistics.median(t / f for t, f in zip(taken, first, strict=True)) for taken in others
        ]
        milliseconds = 1000 * statistics.median(first)
        print(f"{name:20} {milliseconds:7.1f} ms", *(f"{ratio:6.2f}" for ratio in ratios))


def use(library: ctypes.CDLL) -> None:
    """Compute with a library from now on."""
    loading.library = lambda: library  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(sys.argv[1:])
