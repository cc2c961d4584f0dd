"""The book's training loop: forward, loss, backward, clipping, step, and the state between steps.

Read this file to see where back-propagation through time happens. `trainer.py` takes the same steps
and adds what a real run needs: fast kernels, schedules, dropout, several layers and processes.

A test compares the losses of all steps with the trainer's, for every cell of the book and both
samplings, in a small network on 600 characters: they agree to 1e-6 of their size in float32, and to
1e-12 in float64. With the full presets, a learning rate of 100 soon magnifies float32's rounding.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from charlm.corpus.batches import Batches
from charlm.models.cells import State
from charlm.models.language_model import LanguageModel


def train_epochs(
    model: LanguageModel, batches: Batches, num_epochs: int, learning_rate: float, theta: float
) -> Iterator[float]:
    """Take one step for each batch; yield its loss, the mean cross-entropy in nats.

    The model has one layer, one-hot inputs and no dropout, as in the configs `textbook-random` and
    `textbook-sequential`. X and Y are (time, batch); O is (time, batch, vocabulary).
    """
    parameters = list(model.parameters())
    while batches.epochs < num_epochs:
        batch = next(batches)
        X, Y = batch.inputs, batch.targets  # Y is the text one character after X
        if not batch.continues:  # random sampling, and the first batch of an epoch
            (state,) = model.initial_state(X.shape[1])
        # Sequential sampling keeps the state. Detached, it has no history: gradients flow through
        # the time steps of one batch only. This truncates back-propagation.
        state = tuple(tensor.detach() for tensor in state)

        O, state = forward(model, X, state)  # noqa: E741 - the book's letter
        loss = F.cross_entropy(O.flatten(0, 1), Y.flatten())  # of the softmax at every step
        gradients = torch.autograd.grad(loss, parameters)  # back-propagation through time
        sgd(parameters, clip(gradients, theta), learning_rate)
        yield loss.item()


def forward(
    model: LanguageModel, X: Int64[Tensor, "time batch"], state: State
) -> tuple[Float[Tensor, "time batch vocabulary"], State]:
    """Compute O_t = H_t W_hq + b_q for every time step; return all O_t and the last state."""
    (cell,) = model.layers
    outputs = []
    for X_t in F.one_hot(X, model.vocabulary_size).to(model.b_q.dtype):
        state = cell.step(X_t, state)  # for `rnn`: H_t = φ(X_t W_xh + H_{t-1} W_hh + b_h)
        H_t = state[0]  # an LSTM's state is (H_t, C_t)
        outputs.append(H_t @ model.output_weights + model.b_q)
    return torch.stack(outputs), state


def clip(gradients: Sequence[Tensor], theta: float) -> list[Tensor]:
    """Return min(θ / ‖g‖, 1) g, where g is all gradients as one vector."""
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    factor = (theta / norm).clamp(max=1.0)
    return [factor * gradient for gradient in gradients]


@torch.no_grad()
def sgd(
    parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor], learning_rate: float
) -> None:
    """Take a step of stochastic gradient descent: subtract η g from the parameters, in place."""
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.sub_(learning_rate * gradient)
