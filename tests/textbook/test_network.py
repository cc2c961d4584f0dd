"""The forward pass: cells, concatenation, parameters and layers, as the textbook has them.

The chapters are named in support/textbook.py, and their sections cited by number.
"""

from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.textbook import (
    Implementation,
    all_cells,
    both_implementations,
    make_cell,
    normal,
    simple_cells,
    some_state,
)
from torch import nn

from charlm.config.schema import ModelConfig
from charlm.models.cells import Cell, LSTMCell, ReLUCell, RNNCell
from charlm.models.language_model import LanguageModel

# 1. 公式 2.6 and 2.7, 6.2.1: a network without hidden state


@simple_cells
@both_implementations
def test_2_6_zero_w_hh_is_a_perceptron(
    cell_type: type[Cell], implementation: Implementation
) -> None:
    """H = φ(X W_xh + b_h), whatever came before."""
    cell = make_cell(cell_type, 3, 4, implementation)
    nn.init.zeros_(cell.W_hh)
    X = normal(5, 2, 3)
    H, _ = cell(X, some_state(cell, 2))
    phi = torch.relu if cell_type is ReLUCell else torch.tanh
    torch.testing.assert_close(H, phi(X @ cell.W_xh + cell.b_h))

    after_another_past, _ = cell(X, some_state(cell, 2, seed=9))
    assert torch.equal(after_another_past, H)
    other_first_step = torch.cat([normal(1, 2, 3, seed=9), X[1:]])
    after_another_step, _ = cell(other_first_step, some_state(cell, 2))
    assert torch.equal(after_another_step[1:], H[1:])


def test_2_7_output_layer() -> None:
    """O = H W_hq + b_q, when the model's cell has W_hh = 0."""
    config = ModelConfig(cell="rnn", nonlinearity="relu", hidden_size=4, embedding_size=3)
    model = LanguageModel(config, vocabulary_size=6).double()
    for seed, parameter in enumerate(model.parameters()):
        parameter.data = normal(*parameter.shape, seed=seed)
    layer = model.layers[0]
    nn.init.zeros_(layer.W_hh)
    ids = torch.tensor([[0, 1], [2, 3], [4, 5]])
    O, _ = model(ids, model.initial_state(2))  # noqa: E741 - the book's letter
    assert model.embedding is not None
    assert model.W_hq is not None
    H = torch.relu(model.embedding[ids] @ layer.W_xh + layer.b_h)
    torch.testing.assert_close(O, H @ model.W_hq + model.b_q)


# 2. 2.5.1, 6.2.2: a network with hidden state


@simple_cells
def test_2_5_1_shapes_of_one_step(cell_type: type[Cell]) -> None:
    """X (2, 3), W_xh (3, 4), H (2, 4), W_hh (4, 4), b_h (1, 4) → H_t (2, 4)."""
    cell = make_cell(cell_type, input_size=3, hidden_size=4)
    assert cell.W_xh.shape == (3, 4)
    assert cell.W_hh.shape == (4, 4)
    assert cell.b_h.shape == (4,)  # the chapter's (1, 4): added by broadcasting either way
    X, H = normal(2, 3), normal(2, 4)
    (H_t,) = cell.step(X, (H,))
    assert H_t.shape == (2, 4)
    phi = torch.relu if cell_type is ReLUCell else torch.tanh
    torch.testing.assert_close(H_t, phi(X @ cell.W_xh + H @ cell.W_hh + cell.b_h))


@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
def test_2_5_1_shapes_of_the_output(nonlinearity: Literal["relu", "tanh"]) -> None:
    """W_hm (4, 2), b_m (1, 2) → O_t (2, 2); its softmax is a distribution in every row."""
    config = ModelConfig(cell="rnn", nonlinearity=nonlinearity, hidden_size=4, embedding_size=3)
    model = LanguageModel(config, vocabulary_size=2)
    model.initialize(torch.Generator().manual_seed(0))
    assert model.W_hq is not None
    assert model.W_hq.shape == (4, 2)
    assert model.b_q.shape == (2,)
    output, ((H_t,),) = model(torch.tensor([[0, 1]]), model.initial_state(2))
    O_t = output[0].softmax(dim=1)
    assert H_t.shape == (2, 4)
    assert O_t.shape == (2, 2)
    torch.testing.assert_close(O_t.sum(dim=1), torch.ones(2))
    assert (O_t > 0).all()


# 3. 2.5.1, 6.2.2: concatenation


@settings(deadline=None)
@given(
    batch=st.integers(1, 8),
    inputs=st.integers(1, 8),
    hidden=st.integers(1, 8),
    seed=st.integers(0, 2**32),
)
def test_6_2_2_concatenated_matrices(batch: int, inputs: int, hidden: int, seed: int) -> None:
    """[X, H] · [W_xh; W_hh] = X W_xh + H W_hh, which is what a cell applies φ to."""
    check_concatenation(batch, inputs, hidden, seed)


@pytest.mark.parametrize(
    ("batch", "inputs", "joined"),
    [(2, 3, ((2, 7), (7, 4))), (3, 1, ((3, 5), (5, 4)))],
    ids=["2.5.1", "6.2.2"],
)
def test_6_2_2_shapes_of_the_chapters(
    batch: int, inputs: int, joined: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    assert check_concatenation(batch, inputs, 4, seed=0) == joined


def check_concatenation(
    batch: int, inputs: int, hidden: int, seed: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Compare a cell's step with the concatenated product; return the shapes that are joined."""
    cell = make_cell(RNNCell, inputs, hidden, seed=seed)
    X, H = normal(batch, inputs, seed=seed + 1), normal(batch, hidden, seed=seed + 2)
    XH = torch.cat([X, H], dim=1)
    W = torch.cat([cell.W_xh, cell.W_hh], dim=0)
    torch.testing.assert_close(XH @ W, X @ cell.W_xh + H @ cell.W_hh)
    torch.testing.assert_close(cell.step(X, (H,)), (torch.tanh(XH @ W + cell.b_h),))
    return tuple(XH.shape), tuple(W.shape)


# 4. 6.2.2: the number of parameters


@pytest.mark.parametrize(("cell", "gates"), [("rnn", 1), ("gru", 3), ("lstm", 4)])
def test_6_2_2_number_of_parameters(cell: Literal["rnn", "gru", "lstm"], gates: int) -> None:
    """W_xh, W_hh, b_h once for each gate, W_hq and b_q; and no more after a thousand steps."""
    d, h = 10, 6
    model = LanguageModel(ModelConfig(cell=cell, hidden_size=h, embedding_size=None), d)
    model.initialize(torch.Generator().manual_seed(0))
    expected = gates * (d * h + h * h + h) + h * d + d
    for steps in (1, 10, 1000):
        logits, _ = model(torch.zeros(steps, 1, dtype=torch.int64), model.initial_state(1))
        assert logits.shape == (steps, 1, d)
        assert sum(parameter.numel() for parameter in model.parameters()) == expected


# 6. §3: the forward pass step by step


@both_implementations
def test_section_3_forward_pass(implementation: Implementation) -> None:
    """h_t = tanh(x_t W_x + h_{t-1} W_h), y_t = h_t W_y."""
    random = np.random.default_rng(0)
    W_x, W_h, W_y = (random.standard_normal(shape) for shape in ((5, 4), (4, 4), (4, 3)))
    inputs = random.standard_normal((7, 5))

    h, outputs = np.zeros(4), []
    for x_t in inputs:
        h = np.tanh(np.dot(x_t, W_x) + np.dot(h, W_h))
        outputs.append(np.dot(h, W_y))

    cell = RNNCell(5, 4, implementation).double()
    cell.W_xh.data, cell.W_hh.data = torch.from_numpy(W_x), torch.from_numpy(W_h)
    hidden, (last,) = cell(torch.from_numpy(inputs).unsqueeze(1), cell.initial_state(1))
    y = hidden @ torch.from_numpy(W_y)
    np.testing.assert_allclose(y.squeeze(1).detach().numpy(), np.stack(outputs), rtol=1e-12)
    np.testing.assert_allclose(last.squeeze(0).detach().numpy(), h, rtol=1e-12)


# 8. §4.3: the worked example


@both_implementations
def test_section_4_3_worked_example(implementation: Implementation) -> None:
    """The chapter multiplies from the left, so its matrices stand transposed here.

    Its own h_1 = (0.07, 0.19, 0.30) and y_1 = (0.37, 0.11) are slips of arithmetic.
    """
    W_xh = torch.tensor([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    W_hh = torch.tensor([[0.7, 0.8, 0.9], [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    W_yh = torch.tensor([[0.7, 0.8, 0.9], [0.1, 0.2, 0.3]])
    cell = RNNCell(2, 3, implementation)
    cell.W_xh.data, cell.W_hh.data = W_xh.T, W_hh.T
    x = torch.tensor([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    h, _ = cell(x.unsqueeze(1), cell.initial_state(1))
    y = h @ W_yh.T
    expected_h = [[0.0500, 0.1096, 0.1684], [0.3663, 0.3162, 0.5123], [0.8146, 0.5673, 0.8402]]
    expected_y = [[0.2742, 0.0774], [0.9704, 0.2536], [1.7803, 0.4470]]
    four_places = 5.1e-5
    torch.testing.assert_close(h[:, 0], torch.tensor(expected_h), rtol=0, atol=four_places)
    torch.testing.assert_close(y[:, 0], torch.tensor(expected_y), rtol=0, atol=four_places)


# 9. §5: a module that returns all outputs and the last hidden state


@all_cells
@both_implementations
def test_section_5_outputs_and_last_state(
    cell_type: type[Cell], implementation: Implementation
) -> None:
    """A module returns all outputs and the last hidden state."""
    cell = make_cell(cell_type, 2, 3, implementation)
    outputs, last = cell(normal(3, 5, 2), cell.initial_state(5))
    assert outputs.shape == (3, 5, 3)
    assert len(last) == (2 if cell_type is LSTMCell else 1)
    assert all(tensor.shape == (5, 3) for tensor in last)
    torch.testing.assert_close(last[0], outputs[-1])


def test_section_5_state_is_a_matrix() -> None:
    """`torch.mm` refuses the one-dimensional zeros of the chapter's example; it takes these."""
    cell = make_cell(RNNCell, 2, 3)
    with pytest.raises(RuntimeError, match="must be a matrix"):
        torch.mm(torch.zeros(3, dtype=torch.float64), cell.W_hh)
    (H,) = cell.initial_state(1)
    assert torch.mm(H, cell.W_hh).shape == (1, 3)

    inputs = torch.tensor([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], dtype=torch.float64).unsqueeze(1)
    expected = []
    for x_t in inputs:
        H = torch.tanh(torch.mm(x_t, cell.W_xh) + torch.mm(H, cell.W_hh) + cell.b_h)
        expected.append(H)
    outputs, (last,) = cell(inputs, cell.initial_state(1))
    torch.testing.assert_close(outputs, torch.stack(expected))
    torch.testing.assert_close(last, H)


# 11. nn.RNN(1, 1, num_layers=3, nonlinearity="relu") on 1, 2, 3


@both_implementations
def test_stacked_relu_cells(implementation: Implementation) -> None:
    """`h_n` is 0, 1.0360, 0 and `output` 0, 0, 0, with the weights that the chapter prints.

    A character's vector is here the number 1, 2 or 3. PyTorch's two biases are added up to one.
    """
    config = ModelConfig(
        cell="rnn",
        nonlinearity="relu",
        num_layers=3,
        hidden_size=1,
        embedding_size=1,
        implementation=implementation,
    )
    model = LanguageModel(config, vocabulary_size=3)
    assert model.embedding is not None
    assert model.W_hq is not None
    model.embedding.data = torch.tensor([[1.0], [2.0], [3.0]])
    model.W_hq.data.fill_(1.0)  # the logits are the top layer's hidden states
    printed = [
        (-0.0075, 0.5364, -0.8230, -0.7359),
        (-0.3852, 0.2682, -0.0198, 0.7929),
        (-0.0887, 0.2646, -0.3022, -0.1966),
    ]
    for layer, (weight_ih, weight_hh, bias_ih, bias_hh) in zip(model.layers, printed, strict=True):
        layer.W_xh.data.fill_(weight_ih)
        layer.W_hh.data.fill_(weight_hh)
        layer.b_h.data.fill_(bias_ih + bias_hh)

    output, state = model(torch.tensor([[0], [1], [2]]), model.initial_state(1))
    assert torch.equal(output, torch.zeros(3, 1, 3))
    last = [tensor.item() for (tensor,) in state]
    assert last == pytest.approx([0, 1.0360, 0], abs=1e-4)  # from weights of four places
