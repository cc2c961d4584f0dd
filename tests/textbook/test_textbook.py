"""The systems of the textbook chapters, one section after the other, as charlm does them.

Sections are cited as the chapters number them: 2.5.1, whose formulas are 2.6 and 2.7
(从神经网络到有隐含状态的循环神经网络); 6.2.1 to 6.2.3 (循环神经网络); §2 to §5 of the
chapter of code (RNN代码实例); the page on stacking `nn.RNN`; and 6.3 and 6.4 of the same
book as 6.2, on sampling and on training.
"""

import math
from itertools import islice, pairwise
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from charlm.config.load import load_config
from charlm.config.schema import Config, ModelConfig, TrainingConfig
from charlm.corpus.batch_iterator import Batch
from charlm.corpus.batches import Batches, RandomBatches, SequentialBatches, make_batches
from charlm.corpus.builder import build_corpus
from charlm.corpus.corpus import Part
from charlm.corpus.vocabulary import UNKNOWN_TYPE, Ids, Vocabulary, code_points
from charlm.models.cells import Cell, GRUCell, LSTMCell, ReLUCell, RNNCell, State
from charlm.models.language_model import LanguageModel
from charlm.prediction.generation import generate
from charlm.prediction.perplexity import perplexity
from charlm.prediction.predictor import Predictor
from charlm.prediction.scoring import evaluate_part
from charlm.training.optimizer import clip_gradients, make_optimizer
from charlm.training.step_result import StepResult
from charlm.training.trainer import Trainer

Implementation = Literal["fused", "equations"]
CELLS = [RNNCell, ReLUCell, GRUCell, LSTMCell]

all_cells = pytest.mark.parametrize("cell_type", CELLS)
simple_cells = pytest.mark.parametrize("cell_type", [RNNCell, ReLUCell])
both_implementations = pytest.mark.parametrize("implementation", ["fused", "equations"])


def make_cell(
    cell_type: type[Cell],
    input_size: int,
    hidden_size: int,
    implementation: Implementation = "equations",
    seed: int = 0,
) -> Cell:
    """A cell in float64 whose weights and biases are drawn from N(0, 1)."""
    cell = cell_type(input_size, hidden_size, implementation).double()
    generator = torch.Generator().manual_seed(seed)
    for parameter in cell.parameters():
        nn.init.normal_(parameter, generator=generator)
    return cell


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some_state(cell: Cell, batch_size: int, seed: int = 2) -> State:
    return tuple(
        normal(batch_size, cell.hidden_size, seed=seed + number)
        for number in range(cell.num_states)
    )


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


# 5. 6.2.3: a character-level language model of 想要有直升机

PHRASE = "想要有直升机"


@pytest.fixture
def vocabulary() -> Vocabulary:
    return Vocabulary(tuple(sorted(code_points(PHRASE).tolist())))


@pytest.fixture
def phrase(vocabulary: Vocabulary) -> Ids:
    return vocabulary.encode_text(PHRASE)


@pytest.fixture
def small_model(vocabulary: Vocabulary) -> LanguageModel:
    config = ModelConfig(cell="rnn", hidden_size=16, embedding_size=None)
    model = LanguageModel(config, len(vocabulary))
    model.initialize(torch.Generator().manual_seed(0))
    return model


def test_6_2_3_labels_are_shifted_by_one(vocabulary: Vocabulary, phrase: Ids) -> None:
    """The labels are the text from its second character."""
    batch = next(RandomBatches(phrase, batch_size=1, sequence_length=5, seed=0))
    assert vocabulary.decode(batch.inputs[:, 0].tolist()) == "想要有直升"
    assert vocabulary.decode(batch.targets[:, 0].tolist()) == "要有直升机"


@pytest.mark.parametrize("sampling", [RandomBatches, SequentialBatches])
@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_6_2_3_labels_for_both_samplings(
    sampling: type[RandomBatches] | type[SequentialBatches],
    length: int,
    vocabulary: Vocabulary,
    phrase: Ids,
) -> None:
    """Both samplings shift the labels by one, for any length."""
    batches = sampling(phrase, batch_size=1, sequence_length=length, seed=0)
    for batch in islice(batches, 20):
        inputs = vocabulary.decode(batch.inputs[:, 0].tolist())
        labels = vocabulary.decode(batch.targets[:, 0].tolist())
        place = PHRASE.index(inputs)
        assert labels == PHRASE[place + 1 : place + 1 + len(inputs)]


def test_6_2_3_loss_depends_on_the_past(small_model: LanguageModel, phrase: Ids) -> None:
    """The loss at step 3 depends on the first three characters only."""
    inputs, labels = torch.tensor(phrase[:-1].tolist()), torch.tensor(phrase[1:].tolist())

    def losses(characters: Tensor) -> Tensor:
        logits, _ = small_model(characters.unsqueeze(1), small_model.initial_state(1))
        return F.cross_entropy(logits[:, 0], labels, reduction="none")

    expected = losses(inputs)
    for place in range(5):
        changed = inputs.clone()
        changed[place] = labels[4]  # 机 for 想, 要, 有, 直 or 升
        after = losses(changed)
        assert torch.equal(after[:place], expected[:place])  # no earlier output changes
        assert (after[2] == expected[2]) == (place > 2)


def test_6_2_3_overfitted_model(
    small_model: LanguageModel, vocabulary: Vocabulary, phrase: Ids
) -> None:
    """An overfitted model generates the phrase."""
    batches = RandomBatches(phrase, batch_size=1, sequence_length=5, seed=0)
    training = TrainingConfig(steps=100, learning_rate=0.02, schedule="constant", warmup_steps=0)
    predictor = Predictor(small_model, vocabulary, Config())
    before = "".join(generate(predictor, "想", greedy=True, length=5))
    reports = list(Trainer(small_model, batches, training, clock=lambda: 0.0))
    after = "".join(generate(predictor, "想", greedy=True, length=5))
    assert before != "要有直升机"
    assert after == "要有直升机"
    assert reports[0].loss == pytest.approx(math.log(7), abs=0.3)  # 6 characters, 1 unknown
    assert reports[-1].loss < 0.05


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
    assert accuracy_of_recall(cell) > 0.9


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


# 12. 6.3: random and sequential sampling


def one_epoch(batches: Batches) -> list[Batch]:
    epoch = []
    while batches.position.epoch == 0:
        epoch.append(next(batches))
    return epoch


def test_6_3_random_sampling_covers_text() -> None:
    """Random sampling yields each window of the text once an epoch."""
    epoch = one_epoch(RandomBatches(np.arange(30), batch_size=2, sequence_length=6, seed=0))
    for batch in epoch:
        assert not batch.continues
        assert torch.equal(batch.inputs, batch.inputs[0] + torch.arange(6).unsqueeze(1))
        assert torch.equal(batch.targets, batch.inputs + 1)
    starts = sorted(start for batch in epoch for start in batch.inputs[0].tolist())
    assert starts[0] < 6  # the random offset
    assert all(later - earlier == 6 for earlier, later in pairwise(starts))
    assert starts[-1] + 12 >= 30  # no room for one window more, and its last label


def test_6_3_random_sampling_shuffles() -> None:
    orders = []
    for seed in range(10):
        epoch = one_epoch(RandomBatches(np.arange(30), batch_size=1, sequence_length=6, seed=seed))
        orders.append([int(batch.inputs[0, 0]) for batch in epoch])
    assert any(order != sorted(order) for order in orders)


@pytest.mark.parametrize("kind", [RandomBatches, SequentialBatches])
def test_6_3_without_a_random_offset(kind: Any) -> None:
    """Without a random offset each epoch has the same examples."""
    batches = kind(np.arange(30), 2, 6, seed=0, random_offset=False)
    epochs = []
    for number in range(3):
        starts: list[int] = []
        while batches.position.epoch == number:
            starts += next(batches).inputs[0].tolist()
        epochs.append(starts)
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(epochs[2])
    assert min(epochs[0]) == 0
    if kind is RandomBatches:
        assert epochs[0] != epochs[1]


def test_6_3_sequential_sampling_is_adjacent() -> None:
    """Adjacent batches of sequential sampling are adjacent in the text."""
    epoch = one_epoch(SequentialBatches(np.arange(30), batch_size=2, sequence_length=6, seed=0))
    assert [batch.continues for batch in epoch] == [False] + [True] * (len(epoch) - 1)
    assert len(epoch) > 1
    for batch in epoch:
        assert torch.equal(batch.targets, batch.inputs + 1)
    for earlier, later in pairwise(epoch):
        assert torch.equal(later.inputs[0], earlier.inputs[-1] + 1)
    left, right = torch.cat([batch.inputs for batch in epoch]).T.tolist()
    assert right[0] == left[-1] + 1  # the second column goes on where the first one ends


# 12. 6.4: clipping, perplexity, generation from a prefix


@settings(deadline=None)
@given(
    theta=st.floats(1e-3, 1e3),
    gradients=st.lists(st.floats(-100, 100, width=32), min_size=5, max_size=5).filter(any),
)
def test_6_4_gradient_clipping(theta: float, gradients: list[float]) -> None:
    """Clipping replaces g by min(θ / ‖g‖, 1) g."""
    g = torch.tensor(gradients, dtype=torch.float64)
    parameters = []
    for part in (g[:2], g[2:]):
        parameters.append(nn.Parameter(torch.zeros_like(part)))
        parameters[-1].grad = part.clone()
    norm = clip_gradients(parameters, theta)
    torch.testing.assert_close(norm, g.norm())
    clipped = torch.cat([parameter.grad for parameter in parameters if parameter.grad is not None])
    torch.testing.assert_close(clipped, min(theta / g.norm().item(), 1) * g)


def test_6_4_bounds_of_perplexity() -> None:
    """Perplexity is 1 at best, and the vocabulary size for a uniform guess."""
    model = LanguageModel(ModelConfig(cell="rnn", hidden_size=8, embedding_size=None), 50)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    text = Part(np.full(200, 3), np.ones(50, np.uint8), np.zeros(0, UNKNOWN_TYPE))
    assert evaluate_part(model, text).perplexity == pytest.approx(50)  # zero logits
    model.b_q.data[3] = 1000.0  # sure, and right
    assert evaluate_part(model, text).perplexity == 1.0
    model.b_q.data[4] = 2000.0  # sure, and wrong
    assert evaluate_part(model, text).perplexity == math.inf


def test_6_4_definition_of_perplexity(
    small_model: LanguageModel, vocabulary: Vocabulary, phrase: Ids
) -> None:
    """Perplexity is exp of the mean cross-entropy."""
    ids = torch.tensor(phrase.tolist())
    logits, _ = small_model(ids[:-1].unsqueeze(1), small_model.initial_state(1))
    mean = F.cross_entropy(logits[:, 0], ids[1:]).item()
    text = Part(phrase, vocabulary.sizes, np.zeros(0, UNKNOWN_TYPE))
    assert evaluate_part(small_model, text).perplexity == pytest.approx(math.exp(mean))
    assert perplexity(mean) == math.exp(mean)


def test_6_4_prediction_from_a_prefix(small_model: LanguageModel, vocabulary: Vocabulary) -> None:
    """As the book predicts: the likeliest character follows, and is read in its turn."""
    predictor = Predictor(small_model, vocabulary, Config())
    text = vocabulary.encode_text("有直升").tolist()
    for _ in range(8):  # each time read the whole text again, from the initial state
        logits, _ = small_model(torch.tensor(text).unsqueeze(1), small_model.initial_state(1))
        logits[..., 0] = -math.inf  # the sign for unknown characters is never generated
        text.append(int(logits[-1, 0].argmax()))
    generated = "".join(generate(predictor, "有直升", greedy=True, length=8))
    assert "有直升" + generated == vocabulary.decode(text)


# 12. 6.4: training on lyrics

textbook_configs = pytest.mark.parametrize("sampling", ["random", "sequential"])


@textbook_configs
def test_6_4_hyperparameters_of_the_presets(sampling: str) -> None:
    """The presets have the hyperparameters of the book."""
    config = load_config(f"textbook-{sampling}")
    assert config.batches.sampling == sampling
    assert (config.batches.batch_size, config.batches.sequence_length) == (32, 35)
    assert (config.model.cell, config.model.nonlinearity) == ("rnn", "tanh")
    assert (config.model.hidden_size, config.model.num_layers) == (256, 1)
    assert config.model.embedding_size is None  # one-hot
    assert config.model.initialization == "normal"
    assert config.model.dropout == 0
    training = config.training
    assert (training.optimizer, training.learning_rate, training.momentum) == ("sgd", 100, 0)
    assert (training.schedule, training.warmup_steps, training.weight_decay) == ("constant", 0, 0)
    assert (training.epochs, training.steps, training.budget) == (250, None, None)
    assert training.max_gradient_norm == 0.01
    assert config.corpus.max_characters == 10_000
    assert config.corpus.newlines == "space"
    assert config.generation.prefix == "分开"
    assert config.generation.length == 50
    assert config.generation.greedy


@textbook_configs
def test_6_4_training_lowers_perplexity(sampling: str) -> None:
    """Each epoch lowers the training perplexity."""
    config = load_config(f"textbook-{sampling}", ["training.epochs=4"])
    corpus = build_corpus(config.corpus)
    vocabulary_size = len(corpus.vocabulary)
    model = LanguageModel(config.model, vocabulary_size)
    model.initialize(torch.Generator().manual_seed(config.training.seed))
    batches = make_batches(corpus.parts["train"].ids, config.batches, config.training.seed)
    reports = list(Trainer(model, batches, config.training, clock=lambda: 0.0))
    perplexities = [epoch_perplexity(reports, epoch) for epoch in (1, 2, 3, 4)]
    assert len(corpus.parts["train"]) == 10_000
    assert math.exp(reports[0].loss) == pytest.approx(vocabulary_size, rel=0.05)
    assert all(later < earlier for earlier, later in pairwise(perplexities))
    assert perplexities[-1] < vocabulary_size / 2


def epoch_perplexity(reports: list[StepResult], epoch: int) -> float:
    """exp of the mean cross-entropy over the steps of an epoch; the first is 1."""
    steps = [report for report in reports if epoch - 1 < report.epoch <= epoch]
    nats = sum(report.loss * report.characters for report in steps)
    return perplexity(nats / sum(report.characters for report in steps))
