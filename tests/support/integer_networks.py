"""Small networks with random weights, rounded to integers."""

import numpy as np
import torch

from charlm.config.schema import ModelConfig
from charlm.corpus.vocabulary import Vocabulary
from charlm.models.language_model import LanguageModel
from charlm.portable.network import IntegerNetwork
from charlm.portable.rounding import rounded_network

VOCABULARY = Vocabulary(tuple(sorted(map(ord, "\n abcdefghijklmnopqrstuvwxyzé你"))))
SHAPES: dict[str, dict[str, object]] = {
    "rnn": {"cell": "rnn"},
    "relu": {"cell": "rnn", "nonlinearity": "relu"},
    "gru": {"cell": "gru"},
    "lstm": {"cell": "lstm"},
    "mogrifier": {"cell": "mogrifier"},
    "gru of two layers": {"cell": "gru", "num_layers": 2},
    "mogrifier of three layers": {"cell": "mogrifier", "num_layers": 3},
    "one-hot": {"cell": "lstm", "embedding_size": None},
    "tied": {"cell": "lstm", "tie_weights": True, "embedding_size": 24},
}
"""Keys of `model`, by a name."""


def random_model(
    shape: str,
    vocabulary: Vocabulary = VOCABULARY,
    seed: int = 0,
    scale: float = 1.0,
    hidden_size: int = 24,
) -> LanguageModel:
    """Return a network; `scale` multiplies its initial weights."""
    config = ModelConfig.model_validate(
        {"hidden_size": hidden_size, "embedding_size": 10} | SHAPES[shape]
    )
    model = LanguageModel(config, len(vocabulary))
    model.initialize(torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    return model.eval()


def rounded(model: LanguageModel, vocabulary: Vocabulary = VOCABULARY) -> IntegerNetwork:
    """Return the integer network of a model."""
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    return rounded_network(model.config, vocabulary, weights)


def random_network(
    shape: str,
    vocabulary: Vocabulary = VOCABULARY,
    seed: int = 0,
    scale: float = 1.0,
    hidden_size: int = 24,
) -> IntegerNetwork:
    """Return the integer network of `random_model`."""
    return rounded(random_model(shape, vocabulary, seed, scale, hidden_size), vocabulary)


def random_ids(vocabulary: Vocabulary, length: int, seed: int = 0) -> np.ndarray:
    """Return random ids, the unknown one included."""
    return np.random.default_rng(seed).integers(0, len(vocabulary), length)
