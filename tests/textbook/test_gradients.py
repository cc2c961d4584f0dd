"""Back-propagation through time: gradients that vanish, explode, and pass a gate.

The chapters are named in support/textbook.py, and their sections cited by number.
"""

from typing import Literal

import pytest
import torch
from support.textbook import (
    Implementation,
    all_cells,
    both_implementations,
    make_cell,
    normal,
    some_state,
)
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from charlm.config.schema import ModelConfig, TrainingConfig
from charlm.models.cells import Cell, GRUCell, LSTMCell, ReLUCell, RNNCell
from charlm.models.language_model import LanguageModel
from charlm.training.optimizer import clip_gradients, make_optimizer

# 7. §4.2: back-propagation through time


@both_implementations
def test_section_4_2_backward_pass(
    implementation: Implementation,
) -> None:
    """∂L/∂h_{t-1} = ∂L/∂h_t · ∂h_t/∂h_{t-1}; every step adds its share to the weights'."""
    cell = make_cell(RNNCell, 3, 4, implementation)
    X, weighting = normal(6, 2, 3), normal(6, 2, 4)
    hidden, _ = cell(X, cell.initial_state(2))
    loss = (hidden * weighting).sum()
    gradients = torch.autograd.grad(loss, [cell.W_xh, cell.W_hh, cell.b_h])

    H = hidden.detach()
    expected = [torch.zeros_like(parameter) for parameter in cell.parameters()]
    from_later = torch.zeros(2, 4, dtype=torch.float64)
    for t in reversed(range(6)):
        before_tanh = (weighting[t] + from_later) * (1 - H[t] ** 2)
        expected[0] += X[t].T @ before_tanh
        if t > 0:
            expected[1] += H[t - 1].T @ before_tanh
        expected[2] += before_tanh.sum(dim=0)
        from_later = before_tanh @ cell.W_hh.detach().T
    torch.testing.assert_close(list(gradients), expected)


@all_cells
@both_implementations
def test_section_4_2_gradcheck(cell_type: type[Cell], implementation: Implementation) -> None:
    """Gradients pass PyTorch's gradcheck."""
    cell = make_cell(cell_type, 2, 3, implementation)
    names, parameters = zip(*cell.named_parameters(), strict=True)

    def run(inputs: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        weights, state = tensors[: len(names)], tensors[len(names) :]
        outputs, last = functional_call(
            cell, dict(zip(names, weights, strict=True)), (inputs, state)
        )
        return (outputs, *last)

    tensors = [normal(4, 2, 2), *parameters, *some_state(cell, 2)]
    leaves = [tensor.detach().clone().requires_grad_() for tensor in tensors]
    assert torch.autograd.gradcheck(run, leaves)


@all_cells
def test_section_4_2_equal_gradients(cell_type: type[Cell]) -> None:
    """Both implementations have the same gradients."""
    X, weighting = normal(12, 3, 5), normal(12, 3, 4)
    gradients = []
    for implementation in ("fused", "equations"):
        cell = make_cell(cell_type, 5, 4, implementation)
        outputs, _ = cell(X, some_state(cell, 3))
        gradients.append(torch.autograd.grad((outputs * weighting).sum(), list(cell.parameters())))
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("radius", [0.8, 0.95, 1.05, 1.25])
@both_implementations
def test_section_4_2_vanishing_and_exploding(radius: float, implementation: Implementation) -> None:
    """Around h = 0, where tanh is the identity, T steps multiply the gradient by about radius^T."""
    steps = 300
    cell = RNNCell(1, 8, implementation).double()
    W = normal(8, 8)
    cell.W_hh.data = W * radius / torch.linalg.eigvals(W).abs().max()
    nn.init.zeros_(cell.W_xh)
    (start,) = cell.initial_state(1)
    start.requires_grad_()
    _, (end,) = cell(torch.zeros(steps, 1, 1, dtype=torch.float64), (start,))
    (gradient,) = torch.autograd.grad(end.sum(), start)
    growth = gradient.norm().item() ** (1 / steps)
    assert growth == pytest.approx(radius, rel=0.02)
    assert (gradient.norm() < 1e-5) if radius < 1 else (gradient.norm() > 1e5)


@pytest.mark.parametrize("theta", [0.01, 1.0, 5.0])
def test_section_4_2_clipping(theta: float) -> None:
    """Clipping bounds the norm of an exploding gradient."""
    cell = make_cell(ReLUCell, 2, 4, "fused")
    cell.W_hh.data = 1.5 * torch.eye(4, dtype=torch.float64)
    outputs, _ = cell(normal(50, 3, 2), cell.initial_state(3))
    outputs.sum().backward()
    norm = clip_gradients(cell.parameters(), theta)
    assert norm > 1e6
    assert gradient_norm(cell) == pytest.approx(theta)


def gradient_norm(module: nn.Module) -> float:
    """The length of all gradients as one vector."""
    gradients = [p.grad.flatten() for p in module.parameters() if p.grad is not None]
    return float(torch.cat(gradients).norm())


# 10. 2.5, §2 and §6: LSTM and GRU against vanishing gradients


@pytest.mark.parametrize("cell_type", [GRUCell, LSTMCell])
@both_implementations
def test_section_2_open_gate_keeps_gradient(
    cell_type: type[Cell], implementation: Implementation
) -> None:
    """Where the tanh network's gradient is gone, that of a gated cell has hardly shrunk."""

    def gradient_through_100_steps(cell: Cell) -> float:
        for weights in (cell.W_xh, cell.W_hh):
            weights.data *= 0.01
        state = tuple(tensor.clone().requires_grad_() for tensor in cell.initial_state(1))
        _, last = cell(normal(100, 1, 2), state)
        return float(torch.autograd.grad(last[-1].sum(), state[-1])[0].norm())

    gated, simple = (make_cell(kind, 2, 8, implementation) for kind in (cell_type, RNNCell))
    open_gates(gated, 6.0)
    assert gradient_through_100_steps(simple) < 1e-30
    assert gradient_through_100_steps(gated) > 0.1


def open_gates(cell: Cell, bias: float) -> None:
    """Let a cell begin with keeping what it holds: the LSTM's F and the GRU's Z near one."""
    if isinstance(cell, GRUCell | LSTMCell):
        cell.b_h.data.view(cell.num_gates, -1)[1] = bias


def accuracy_of_recall(cell: Literal["rnn", "gru", "lstm"]) -> float:
    """Learn to name the first character of a text after 40 others that mean nothing.

    Eight characters are to be remembered and eight others stand between. Returns the fraction
    of right answers to new texts after 300 steps of training.
    """
    gap, to_remember, others, batch_size = 40, 8, 8, 32
    generator = torch.Generator().manual_seed(0)
    config = ModelConfig(cell=cell, hidden_size=64, embedding_size=None)
    model = LanguageModel(config, to_remember + others)
    model.initialize(generator)
    open_gates(model.layers[0], 5.0)
    optimizer = make_optimizer(model, TrainingConfig(learning_rate=0.01, weight_decay=0.0))

    def answers(num_texts: int) -> tuple[Tensor, Tensor]:
        first = torch.randint(to_remember, (1, num_texts), generator=generator)
        rest = to_remember + torch.randint(others, (gap, num_texts), generator=generator)
        logits, _ = model(torch.cat([first, rest]), model.initial_state(num_texts))
        return logits[-1], first[0]

    for _ in range(300):
        optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(*answers(batch_size)))
        clip_gradients(model.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        logits, first = answers(1000)
    return float((logits.argmax(dim=1) == first).double().mean())


def test_section_2_tanh_fails_on_a_long_gap() -> None:
    """A tanh network does not recall a character after a long gap."""
    assert accuracy_of_recall("rnn") < 0.7


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_section_2_gates_bridge_a_long_gap(cell: Literal["gru", "lstm"]) -> None:
    """Gated cells recall a character after a long gap."""
    assert accuracy_of_recall(cell) > 0.8
