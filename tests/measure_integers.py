"""Measure how fast integer networks compress and decompress: an LSTM on one text.

    python tests/measure_integers.py [--characters 20000]

Prints characters a second of processor time, which other programs affect less than time by the
clock: with the kernels at 64, 256 and 512 units, and with numpy alone at 256, the fastest of three
repetitions. The weights are random: the speed does not depend on them.
"""

import argparse
import io
from time import process_time
from unittest.mock import patch

import numpy as np
import torch

from charlm.config.schema import ModelConfig
from charlm.corpus.vocabulary import Vocabulary
from charlm.models.language_model import LanguageModel
from charlm.portable import compression
from charlm.portable.compiled_steps import steps_of
from charlm.portable.rounding import rounded_network
from charlm.portable.steps import NumpySteps, Steps

VOCABULARY = Vocabulary(tuple(range(32, 97)))


def show(name: str, hidden_size: int, kind: type[Steps] | None, characters: int) -> None:
    """Print the speeds of one network; `kind` replaces the steps in the kernels."""
    config = ModelConfig(cell="lstm", hidden_size=hidden_size, embedding_size=64)
    model = LanguageModel(config, len(VOCABULARY))
    model.initialize(torch.Generator().manual_seed(0))
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    network = rounded_network(config, VOCABULARY, weights)
    data = np.random.default_rng(0).integers(32, 97, characters, np.uint8).tobytes()
    best = {"compress": 0.0, "decompress": 0.0}
    with patch.object(compression, "steps_of", kind or steps_of):
        for _ in range(3):
            packed, again = io.BytesIO(), io.BytesIO()
            begin = process_time()
            list(compression.compress(io.BytesIO(data), packed, network))
            middle = process_time()
            list(compression.decompress(io.BytesIO(packed.getvalue()), again, lambda _: network))
            seconds = {"compress": middle - begin, "decompress": process_time() - middle}
            assert again.getvalue() == data
            best = {key: max(best[key], characters / seconds[key]) for key in best}
    rates = ", ".join(f"{key} {rate:,.0f}" for key, rate in best.items())
    print(f"{name}, {hidden_size} units: {rates} characters a second", flush=True)


def main() -> None:
    """Print a line for each size with the kernels, and one for numpy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--characters", type=int, default=20_000)
    characters = parser.parse_args().characters
    for hidden_size in (64, 256, 512):
        show("kernels", hidden_size, None, characters)
    show("numpy", 256, NumpySteps, characters)


if __name__ == "__main__":
    main()
