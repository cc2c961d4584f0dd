"""Checkpoints of small networks with random weights, to export."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from charlm.config.schema import Config
from charlm.corpus.builder import build_corpus
from charlm.corpus.provenance import records_of
from charlm.corpus.vocabulary import Vocabulary
from charlm.models.language_model import LanguageModel
from charlm.models.states import ModelState
from charlm.prediction.predictor import Predictor, load
from charlm.runs.checkpoint import Checkpoint, write_checkpoint
from support.integer_networks import SHAPES, VOCABULARY

RECORDS: dict[str, dict[str, object]] = {
    f"{cell} of records": {"cell": cell, "num_layers": 2} for cell in ("rnn", "gru", "mogrifier")
}
NETWORKS = SHAPES | RECORDS
"""Keys of `model`, by a name; networks of records forget all before a newline."""


def saved_network(
    path: Path, name: str = "lstm", vocabulary: Vocabulary = VOCABULARY, **corpus: Any
) -> Predictor:
    """Write a checkpoint of a network with 24 units a layer, and load it."""
    if name in RECORDS:
        corpus = {"records": "lines"} | corpus
    model = {"hidden_size": 24, "embedding_size": 10} | NETWORKS[name]
    config = Config.model_validate({"model": model, "corpus": {"paths": ["novel.txt"]} | corpus})
    weights = _random_weights(config, vocabulary)
    write_checkpoint(path, Checkpoint(config, vocabulary, "0" * 32, weights))
    return load(path, device="cpu")


def saved_with_text(path: Path, text: Path) -> Predictor:
    """Write a checkpoint of a network that has seen a text, though not learnt from it; load it."""
    config = Config.model_validate({"model": {"hidden_size": 24}, "corpus": {"paths": [str(text)]}})
    corpus = build_corpus(config.corpus)
    write_checkpoint(
        path,
        Checkpoint(
            config,
            corpus.vocabulary,
            corpus.fingerprint,
            _random_weights(config, corpus.vocabulary),
            provenance=records_of(corpus, config.corpus),
        ),
    )
    return load(path, device="cpu")


def _random_weights(config: Config, vocabulary: Vocabulary) -> dict[str, torch.Tensor]:
    network = LanguageModel(config.model, len(vocabulary))
    generator = torch.Generator().manual_seed(1)
    network.initialize(generator)
    with torch.no_grad():  # biases that are zero would hide gates in the wrong order
        for name, parameter in network.named_parameters():
            if parameter.ndim == 1:
                parameter.uniform_(-0.5, 0.5, generator=generator)
            elif name in ("W_hq", "embedding"):
                parameter.mul_(3)
    return network.state_dict()


def some_ids(predictor: Predictor, time: int, batch: int, seed: int = 0) -> torch.Tensor:
    """Return random ids (time, batch)."""
    random = np.random.default_rng(seed)
    return torch.from_numpy(random.integers(len(predictor.vocabulary), size=(time, batch)))


def some_state(network: LanguageModel, batch: int) -> ModelState:
    """Return a state that is not zero."""
    generator = torch.Generator().manual_seed(2)
    return tuple(
        tuple(torch.rand(t.shape, generator=generator) - 0.5 for t in layer)
        for layer in network.initial_state(batch)
    )


def exact_logits(network: LanguageModel, ids: torch.Tensor, state: ModelState) -> torch.Tensor:
    """Return the logits by the equations, in float64."""
    weights = {name: tensor.double() for name, tensor in network.state_dict().items()}
    resets = None if network.boundary is None else ids == network.boundary
    exact = LanguageModel(
        network.config.replace(implementation="equations"), network.vocabulary_size
    ).double()
    exact.load_state_dict(weights)
    vectors = torch.nn.functional.one_hot(ids, network.vocabulary_size).double()
    if exact.embedding is not None:
        vectors = exact.embedding[ids]
    with torch.no_grad():
        for layer, layer_state in zip(exact.layers, state, strict=True):
            vectors, _ = layer(vectors, tuple(t.double() for t in layer_state), resets)
        return vectors @ exact.output_weights + exact.b_q
