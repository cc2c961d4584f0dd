"""Samples move from one generator to another, as they do when a client joins or leaves."""

import pytest
import torch
from support.generation import LETTERS, assert_samples_move

from charlm.config.schema import ModelConfig
from charlm.models.language_model import LanguageModel
from charlm.prediction.compiled_generation import CompiledGenerator, is_supported
from charlm.prediction.stepwise_generation import StepwiseGenerator

CELLS = {
    "rnn": ModelConfig(cell="rnn", num_layers=2, hidden_size=13, embedding_size=5),
    "gru": ModelConfig(cell="gru", num_layers=2, hidden_size=13, embedding_size=5),
    "lstm": ModelConfig(cell="lstm", num_layers=2, hidden_size=13, embedding_size=5),
    "mogrifier": ModelConfig(cell="mogrifier", hidden_size=13, embedding_size=5),
}


def make_network(cell: str, seed: int = 0) -> LanguageModel:
    network = LanguageModel(CELLS[cell], len(LETTERS))
    network.initialize(torch.Generator().manual_seed(seed))
    return network.eval()


@pytest.mark.parametrize("kind", [CompiledGenerator, StepwiseGenerator])
@pytest.mark.parametrize("cell", CELLS)
def test_samples_move_to_a_new_generator(
    cell: str, kind: type[CompiledGenerator | StepwiseGenerator]
) -> None:
    """A generator that starts from the logits and the state of some samples continues them."""
    network = make_network(cell)
    if kind is CompiledGenerator and not is_supported(network):
        pytest.skip("the kernels are not built")
    assert_samples_move(network, kind)
