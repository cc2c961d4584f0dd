"""The book's training loop, `charlm/training/textbook_loop.py`, beside charlm's trainer."""

import inspect

import pytest
import torch

from charlm.config.load import load_config
from charlm.config.schema import Config
from charlm.corpus.batches import Batches, make_batches
from charlm.corpus.builder import build_corpus
from charlm.models.language_model import LanguageModel
from charlm.training import textbook_loop
from charlm.training.textbook_loop import train_epochs
from charlm.training.trainer import Trainer

EPOCHS = 3
CELLS = {
    "tanh": ["model.cell=rnn"],
    "relu": ["model.cell=rnn", "model.nonlinearity=relu"],
    "gru": ["model.cell=gru"],
    "lstm": ["model.cell=lstm"],
}


def textbook_config(sampling: str, cell: str) -> Config:
    """The preset of a sampling with another cell, on 600 characters, in 27 steps or fewer."""
    sizes = ["model.hidden_size=16", "batches.batch_size=4", "batches.sequence_length=18"]
    length = ["corpus.max_characters=600", f"training.epochs={EPOCHS}"]
    return load_config(f"textbook-{sampling}", [*CELLS[cell], *sizes, *length])


def start_of(config: Config, dtype: torch.dtype) -> tuple[LanguageModel, Batches]:
    """The weights and batches that a training begins with."""
    corpus = build_corpus(config.corpus)
    model = LanguageModel(config.model, len(corpus.vocabulary))
    model.initialize(torch.Generator().manual_seed(0))
    return model.to(dtype), make_batches(corpus.splits["train"].ids, config.batches, seed=0)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)], ids=["f32", "f64"]
)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("sampling", ["random", "sequential"])
def test_losses_equal_the_trainers(
    sampling: str, cell: str, dtype: torch.dtype, tolerance: float
) -> None:
    """Every step of the book's loop has the trainer's loss, and it learns."""
    config = textbook_config(sampling, cell)
    training = config.training
    trainer = Trainer(*start_of(config, dtype), training, clock=lambda: 0.0)
    expected = [result.loss for result in trainer]
    theta = training.max_gradient_norm
    assert theta is not None
    model, batches = start_of(config, dtype)
    losses = list(train_epochs(model, batches, EPOCHS, training.learning_rate, theta))
    assert len(losses) == len(expected) > 20
    assert losses == pytest.approx(expected, rel=tolerance)
    assert losses[-1] < losses[0] - 0.3


@pytest.mark.parametrize("size", [0.0, 0.005, 3.0])
def test_the_loop_clips(size: float) -> None:
    """Only a gradient longer than θ becomes shorter, and a gradient of zero stays zero."""
    gradients = [torch.tensor([[0.6 * size]]), torch.tensor([0.8 * size])]
    clipped = torch.cat([gradient.flatten() for gradient in textbook_loop.clip(gradients, 0.01)])
    expected = torch.tensor([0.6, 0.8]) * min(size, 0.01)
    torch.testing.assert_close(clipped, expected)


def test_the_loop_is_short() -> None:
    """A student reads the whole file."""
    assert len(inspect.getsource(textbook_loop).splitlines()) <= 80
