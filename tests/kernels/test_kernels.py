"""The compiled kernels compute what the equations do, in both precisions."""

import copy

import pytest
import torch
from support.kernels import needs_compiler
from torch import Tensor, nn

from charlm.kernels import compiler, recurrence
from charlm.kernels.cross_entropy import cross_entropy
from charlm.kernels.products import product
from charlm.models.cells import CELLS, Cell, GRUCell, LSTMCell, MogrifierCell, ReLUCell, RNNCell

TYPES: list[type[Cell]] = [RNNCell, ReLUCell, GRUCell, LSTMCell, MogrifierCell]


def tolerance(kind: type[Cell], precision: str) -> float:
    """Relative; a ReLU that rounding moves over its kink changes its whole derivative."""
    if precision == "float32":
        return 1e-5
    return 0.25 if kind is ReLUCell else 0.03


def test_kernels_are_compiled_here() -> None:
    """The kernels are available if there is a compiler."""
    assert (compiler.library() is not None) == bool(compiler._compiler())


def make_cell(kind: type[Cell], inputs: int, hidden: int, random: torch.Generator) -> Cell:
    cell = kind(inputs, hidden)
    for parameter in cell.parameters():
        nn.init.normal_(parameter, std=0.8 / hidden**0.5, generator=random)
    return cell


def some_state(cell: Cell, batch: int, random: torch.Generator) -> tuple[Tensor, ...]:
    return tuple(
        torch.randn(tensor.shape, generator=random) * 0.5 for tensor in cell.initial_state(batch)
    )


def relative_error(value: Tensor, expected: Tensor) -> float:
    value, expected = value.detach(), expected.detach()
    return float((value - expected).norm() / expected.norm().clamp(min=1e-6))


@needs_compiler
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("batch", [1, 7, 25])
@pytest.mark.parametrize(("inputs", "hidden"), [(5, 16), (32, 48), (16, 70), (1, 1)])
@pytest.mark.parametrize("kind", TYPES)
def test_cell_equals_its_equations(
    kind: type[Cell],
    inputs: int,
    hidden: int,
    batch: int,
    precision: str,
    random: torch.Generator,
) -> None:
    """Outputs and gradients of a compiled cell equal those of its equations."""
    cell = make_cell(kind, inputs, hidden, random)
    cell.precision = precision  # type: ignore[assignment]
    X = torch.randn(6, batch, inputs, generator=random, requires_grad=True)
    state = tuple(tensor.requires_grad_() for tensor in some_state(cell, batch, random))
    weighting = torch.randn(6, batch, hidden, generator=random)
    leaves = [X, *cell.parameters(), *state]
    results = []
    for run in (cell.forward, cell.equations):
        outputs, last = run(X, state)
        total = (outputs * weighting).sum() + sum((tensor**2).sum() for tensor in last)
        results.append([outputs, *last, *torch.autograd.grad(total, leaves)])
    for value, expected in zip(*results, strict=True):
        assert relative_error(value, expected) < tolerance(kind, precision)


@needs_compiler
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("num_symbols", [3, 40, 700])
@pytest.mark.parametrize("one_hot", [True, False], ids=["one-hot", "embedding"])
@pytest.mark.parametrize("kind", TYPES)
def test_lookup_equals_reading_vectors(
    kind: type[Cell], one_hot: bool, num_symbols: int, precision: str, random: torch.Generator
) -> None:
    """Looking symbols up equals reading their vectors."""
    cell = make_cell(kind, num_symbols if one_hot else 12, 32, random)
    cell.precision = precision  # type: ignore[assignment]
    vectors = torch.eye(num_symbols)
    if not one_hot:
        vectors = torch.randn(num_symbols, 12, generator=random)
    vectors.requires_grad_(not one_hot)
    ids = torch.randint(num_symbols, (7, 5), generator=random)
    state = some_state(cell, 5, random)
    weighting = torch.randn(7, 5, 32, generator=random)
    leaves = [*cell.parameters(), *([] if one_hot else [vectors])]
    results = []
    for outputs, last in (
        cell.read(ids, None if one_hot else vectors, state),
        cell.equations(vectors[ids], state),
    ):
        total = (outputs * weighting).sum() + sum(tensor.sum() for tensor in last)
        results.append([outputs, *torch.autograd.grad(total, leaves)])
    for value, expected in zip(*results, strict=True):
        assert relative_error(value, expected) < tolerance(kind, precision)


@needs_compiler
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("looks_up", [True, False], ids=["lookup", "inputs"])
@pytest.mark.parametrize("kind", TYPES)
def test_a_reset_equals_its_equation(
    kind: type[Cell], looks_up: bool, precision: str, random: torch.Generator
) -> None:
    """With resets, outputs and gradients equal those of the equations; other columns stay."""
    cell = make_cell(kind, 12, 33, random)
    cell.precision = precision  # type: ignore[assignment]
    vectors = torch.randn(9, 12, generator=random, requires_grad=True)
    ids = torch.randint(9, (7, 5), generator=random)
    state = tuple(tensor.requires_grad_() for tensor in some_state(cell, 5, random))
    resets = torch.rand(7, 5, generator=random) < 0.3
    resets[0, 0], resets[:, 4] = True, False
    weighting = torch.randn(7, 5, 33, generator=random)
    X = vectors[ids]
    leaves = [vectors, *cell.parameters(), *state]
    results = []
    for outputs, last in (
        cell.read(ids, vectors, state, resets) if looks_up else cell(X, state, resets),
        cell.equations(X, state, resets),
    ):
        total = (outputs * weighting).sum() + sum((tensor**2).sum() for tensor in last)
        results.append([outputs, *last, *torch.autograd.grad(total, leaves, retain_graph=True)])
    for value, expected in zip(*results, strict=True):
        assert relative_error(value, expected) < tolerance(kind, precision)
    never, _ = cell(X, state, torch.zeros_like(resets))
    assert torch.equal(never, cell(X, state)[0])
    assert torch.equal(never[:, 4], cell(X, state, resets)[0][:, 4])


@needs_compiler
@pytest.mark.parametrize("kind", TYPES)
def test_result_is_independent_of_threads(kind: type[Cell], random: torch.Generator) -> None:
    """A result depends neither on the threads nor on other columns."""
    cell = make_cell(kind, 8, 32, random)
    cell.precision = "bfloat16"
    X, state = torch.randn(9, 21, 8, generator=random), some_state(cell, 21, random)
    whole, _ = cell(X, state)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        shared, _ = cell(X, state)
    finally:
        torch.set_num_threads(before)
    some, _ = cell(X[:, 4:9].contiguous(), tuple(tensor[4:9] for tensor in state))
    assert torch.equal(shared, whole)
    assert torch.equal(some, whole[:, 4:9])


@needs_compiler
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_packed_weights_are_current(
    optimizer: type[torch.optim.Optimizer], random: torch.Generator
) -> None:
    """Packed weights follow all changes of the parameters."""
    cell = make_cell(LSTMCell, 16, 32, random)
    X, state = torch.randn(3, 4, 16, generator=random), some_state(cell, 4, random)

    def check() -> None:
        cell.eval()
        with torch.no_grad():
            torch.testing.assert_close(cell(X, state)[0], cell.equations(X, state)[0])

    update = optimizer(cell.parameters(), lr=0.1, fused=True)  # type: ignore[call-arg]
    check()
    for _ in range(3):
        cell.train()
        update.zero_grad()
        cell(X, state)[0].sum().backward()
        check()
        update.step()
        cell.train()
        cell(X, state)  # as the next step of training does
        check()
    cell.load_state_dict({name: value * 0.5 for name, value in cell.state_dict().items()})
    check()
    with torch.no_grad():
        cell.W_hh.mul_(2)
    check()


@needs_compiler
@pytest.mark.parametrize(("size", "columns"), [(16, 64), (33, 66), (7, 3), (1, 1)])
def test_product_in_bfloat16(size: int, columns: int, random: torch.Generator) -> None:
    """The product of rounded operands is summed in float32."""
    rows = torch.randn(4, 9, size, generator=random)
    weights = torch.randn(size, columns, generator=random)
    with torch.no_grad():
        value = product(rows, weights, "bfloat16")
    expected = rows.bfloat16().float() @ weights.bfloat16().float()
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-5)


@needs_compiler
@pytest.mark.parametrize(
    ("places", "size", "vocabulary"), [((5, 3), 16, 64), ((70, 2), 33, 66), ((1, 1), 7, 3)]
)
@pytest.mark.parametrize("is_distribution", [False, True])
def test_cross_entropy_in_bfloat16(
    places: tuple[int, int],
    size: int,
    vocabulary: int,
    is_distribution: bool,
    random: torch.Generator,
) -> None:
    """Loss and gradients equal those of PyTorch for rounded operands."""
    rows = torch.randn(*places, size, generator=random, requires_grad=True)
    weights = torch.randn(size, vocabulary, generator=random, requires_grad=True)
    bias = torch.randn(vocabulary, generator=random, requires_grad=True)
    targets = torch.randint(vocabulary, places, generator=random)
    if is_distribution:
        targets = torch.randn(*places, vocabulary, generator=random).softmax(2)
    leaves = rows, weights, bias
    loss = cross_entropy(*leaves, targets, "bfloat16")
    low_rows, low_weights = (tensor.bfloat16().float() for tensor in (rows, weights))
    expected = cross_entropy(low_rows, low_weights, bias, targets, "float32")
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    found = torch.autograd.grad(3 * loss, leaves)
    for value, exact in zip(found, torch.autograd.grad(3 * expected, leaves), strict=True):
        assert relative_error(value, exact) < 0.01


@needs_compiler
def test_cross_entropy_stays_finite() -> None:
    """The loss of an almost impossible character is finite."""
    rows, weights = torch.full((1, 1, 2), 100.0), torch.tensor([[100.0, 0.0], [0.0, 0.0]])
    targets = torch.ones(1, 1, dtype=torch.long)
    loss = cross_entropy(rows, weights, torch.zeros(2), targets, "bfloat16")
    assert loss.item() == pytest.approx(10_000)
    assert cross_entropy(rows * torch.nan, weights, torch.zeros(2), targets, "bfloat16").isnan()
    with pytest.raises(IndexError, match="outside the 2 symbols"):
        cross_entropy(rows, weights, torch.zeros(2), targets + 1, "bfloat16")


@needs_compiler
def test_bad_ids_and_states_are_refused() -> None:
    """The kernels get no address outside of a tensor."""
    cell = LSTMCell(4, 16)
    with pytest.raises(IndexError, match="4 symbols"):
        cell.read(torch.full((2, 3), 4), None, cell.initial_state(3))
    with pytest.raises(IndexError, match="4 symbols"):
        cell.read(torch.full((2, 3), -1), None, cell.initial_state(3))
    with pytest.raises(ValueError, match="3 columns"):
        recurrence.run(
            cell.kernel,
            None,
            cell.W_xh + cell.b_h,
            cell.W_hh,
            cell.initial_state(1),
            "float32",
            lookup=torch.zeros(2, 3, dtype=torch.long),
        )


@needs_compiler
def test_copied_cell_packs_its_weights(random: torch.Generator) -> None:
    cell = make_cell(LSTMCell, 16, 32, random).eval()
    X, state = torch.randn(3, 4, 16, generator=random), some_state(cell, 4, random)
    with torch.no_grad():
        cell(X, state)
        other = copy.deepcopy(cell)
        other.W_hh.data.mul_(2)
        torch.testing.assert_close(other(X, state)[0], other.equations(X, state)[0])


@needs_compiler
def test_every_cell_has_a_kernel() -> None:
    for kind in CELLS.values():
        cell = kind(3, 4)
        assert cell.W_hh.shape == (4, 4 * kind.kernel.num_gates)
        assert len(cell.initial_state(1)) == kind.kernel.num_states
        assert hasattr(compiler.library(), f"charlm_{kind.kernel.name}")
