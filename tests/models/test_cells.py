"""Laws that hold for every cell, stack and kind of input, and how weights and masks are drawn."""

import math
from collections.abc import Callable
from itertools import accumulate, pairwise

import pytest
import torch
from torch import Tensor, nn

from charlm.config.schema import ModelConfig
from charlm.models.cells import Cell, LSTMCell, MogrifierCell
from charlm.models.dropout import Masks, drop_units
from charlm.models.language_model import LanguageModel
from charlm.models.states import ModelState

CELLS = ["rnn-tanh", "rnn-relu", "gru", "lstm", "mogrifier"]
NUM_GATES = {"rnn-tanh": 1, "rnn-relu": 1, "gru": 3, "lstm": 4, "mogrifier": 4}
VOCABULARY_SIZE, HIDDEN_SIZE, EMBEDDING_SIZE = 7, 8, 3
TIME, BATCH = 9, 4

MakeModel = Callable[..., LanguageModel]


def model_config(cell: str, **keys: object) -> ModelConfig:
    """A config by the cell's name in `CELLS`; small sizes unless `keys` say otherwise."""
    name, _, nonlinearity = cell.partition("-")
    sizes = {"hidden_size": HIDDEN_SIZE, "embedding_size": EMBEDDING_SIZE}
    phi = {"nonlinearity": nonlinearity} if nonlinearity else {}
    return ModelConfig.model_validate({"cell": name} | phi | sizes | keys)


@pytest.fixture(params=CELLS)
def cell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[1, 2, 3], ids=["1-layer", "2-layers", "3-layers"])
def num_layers(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(params=[None, EMBEDDING_SIZE], ids=["one-hot", "embedding"])
def embedding_size(request: pytest.FixtureRequest) -> int | None:
    return None if request.param is None else int(request.param)


@pytest.fixture
def make_model(
    cell: str, num_layers: int, embedding_size: int | None, random: torch.Generator
) -> MakeModel:
    """Makes models in float64 with weights and biases far from zero."""

    def make(**keys: object) -> LanguageModel:
        keys = {"num_layers": num_layers, "embedding_size": embedding_size} | keys
        model = LanguageModel(model_config(cell, **keys), VOCABULARY_SIZE).double()
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.5, generator=random)
        return model

    return make


@pytest.fixture
def model(make_model: MakeModel) -> LanguageModel:
    return make_model()


def some_ids(random: torch.Generator, batch: int = BATCH) -> Tensor:
    return torch.randint(VOCABULARY_SIZE, (TIME, batch), generator=random)


def some_state(model: LanguageModel, random: torch.Generator) -> ModelState:
    """What a model might remember after a text."""
    return tuple(
        tuple(torch.randn(tensor.shape, generator=random).to(tensor) for tensor in layer_state)
        for layer_state in model.initial_state(BATCH)
    )


def flat(state: ModelState) -> list[Tensor]:
    return [tensor for layer_state in state for tensor in layer_state]


def twin(model: LanguageModel, **keys: object) -> LanguageModel:
    """The same weights under a config that differs in `keys`."""
    config = ModelConfig.model_validate(model.config.model_dump() | keys)
    other = LanguageModel(config, model.vocabulary_size).to(model.b_q.dtype)
    other.load_state_dict(model.state_dict())
    return other


# Two implementations, one result


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-11)], ids=["f32", "f64"]
)
def test_fused_equals_equations(
    model: LanguageModel, random: torch.Generator, dtype: torch.dtype, tolerance: float
) -> None:
    """Outputs and gradients of both implementations are equal."""
    model = model.to(dtype)
    ids, state = some_ids(random), some_state(model, random)
    weighting = torch.randn(TIME, BATCH, VOCABULARY_SIZE, generator=random).to(dtype)
    results = []
    for implementation in ("fused", "equations"):
        other = twin(model, implementation=implementation)
        begin = tuple(tuple(t.clone().requires_grad_() for t in layer) for layer in state)
        logits, end = other(ids, begin)
        total = (logits * weighting).sum() + sum(tensor.sum() for tensor in flat(end))
        gradients = torch.autograd.grad(total, [*other.parameters(), *flat(begin)])
        results.append([logits, *flat(end), *gradients])
    for fused, equations in zip(*results, strict=True):
        torch.testing.assert_close(fused, equations, rtol=tolerance, atol=tolerance)


def test_equals_pytorchs_module(
    model: LanguageModel, cell: str, num_layers: int, random: torch.Generator
) -> None:
    """A model equals PyTorch's module with the same weights."""
    for layer in model.layers:
        if isinstance(layer, MogrifierCell):  # with its gate open it is an LSTM
            nn.init.zeros_(layer.W_xg)
            nn.init.zeros_(layer.b_g)
    input_size = model.layers[0].W_xh.shape[0]
    sizes = (input_size, HIDDEN_SIZE, num_layers)
    module: nn.RNNBase
    if cell.startswith("rnn"):
        module = nn.RNN(*sizes, nonlinearity=cell.removeprefix("rnn-"))
    else:
        module = nn.GRU(*sizes) if cell == "gru" else nn.LSTM(*sizes)
    module.double().load_state_dict(
        {
            name: weight
            for number, layer in enumerate(model.layers)
            for name, weight in {
                f"weight_ih_l{number}": layer.W_xh.T,
                f"weight_hh_l{number}": layer.W_hh.T,
                f"bias_ih_l{number}": layer.b_h,
                f"bias_hh_l{number}": torch.zeros_like(layer.b_h),
            }.items()
        }
    )
    ids = some_ids(random)
    vectors = torch.eye(VOCABULARY_SIZE).double() if model.embedding is None else model.embedding
    hidden, theirs = module(vectors[ids])
    logits, ours = model(ids, model.initial_state(BATCH))
    assert model.W_hq is not None
    torch.testing.assert_close(logits, hidden @ model.W_hq + model.b_q)
    for number, state in enumerate(zip(*ours, strict=True)):  # (H of every layer), (C of every ...)
        expected = theirs[number] if cell in ("lstm", "mogrifier") else theirs
        torch.testing.assert_close(torch.stack(state), expected)


def test_mogrifier_with_closed_gate(random: torch.Generator) -> None:
    """A Mogrifier with a closed gate ignores the hidden state."""
    cell = MogrifierCell(5, HIDDEN_SIZE)
    for parameter in cell.parameters():
        nn.init.normal_(parameter, std=0.5, generator=random)
    X, C = torch.randn(1, BATCH, 5, generator=random), torch.zeros(BATCH, HIDDEN_SIZE)
    one, other = ((torch.randn(BATCH, HIDDEN_SIZE, generator=random), C) for _ in range(2))
    assert not torch.allclose(cell(X, one)[0], cell(X, other)[0])
    nn.init.constant_(cell.b_g, -1e4)
    torch.testing.assert_close(cell(X, one)[0], cell(X, other)[0])


# State


@pytest.mark.parametrize("lengths", [[4, 5], [2, 1, 6], [1] * TIME], ids=str)
@pytest.mark.parametrize("implementation", ["fused", "equations"])
def test_pieces_equal_the_whole(
    make_model: MakeModel, random: torch.Generator, implementation: str, lengths: list[int]
) -> None:
    """Reading in pieces equals reading at once."""
    model = make_model(implementation=implementation)
    ids = some_ids(random)
    ends = list(accumulate(lengths))[:-1]
    logits, state = model(ids, model.initial_state(BATCH))
    carried, pieces = model.initial_state(BATCH), []
    for piece in torch.tensor_split(ids, ends):
        piece_logits, carried = model(piece, carried)
        pieces.append(piece_logits)
    torch.testing.assert_close(torch.cat(pieces), logits)
    torch.testing.assert_close(carried, state)


@pytest.mark.parametrize("implementation", ["fused", "equations"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
@pytest.mark.parametrize(("num_layers", "embedding_size"), [(2, EMBEDDING_SIZE)])
def test_a_record_forgets_the_one_before(
    make_model: MakeModel, random: torch.Generator, implementation: str, dtype: torch.dtype
) -> None:
    """With a boundary, each record is read as if it were alone, and so are its gradients."""
    boundary = 2
    model = make_model(implementation=implementation).to(dtype)
    alone = twin(model)
    model.boundary = boundary
    ids, state = some_ids(random), some_state(model, random)
    ids[[3, 4, 7], [0, 0, 0]] = ids[0, 1] = boundary  # it is drawn elsewhere, too
    weighting = torch.randn(TIME, BATCH, VOCABULARY_SIZE, generator=random).to(dtype)
    logits, end = model(ids, state)
    expected = torch.empty_like(logits)
    for column in range(BATCH):
        starts = {0, *(ids[:, column] == boundary).nonzero().flatten().tolist(), TIME}
        for start, stop in pairwise(sorted(starts)):
            begin = tuple(tuple(t[column : column + 1] for t in layer) for layer in state)
            if ids[start, column] == boundary:
                begin = alone.initial_state(1)
            part, last = alone(ids[start:stop, column : column + 1], begin)
            expected = expected.index_put(
                (torch.arange(start, stop), torch.tensor(column)), part[:, 0]
            )
        for tensor, of_record in zip(flat(end), flat(last), strict=True):
            torch.testing.assert_close(tensor[column], of_record[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    ours = torch.autograd.grad((logits * weighting).sum(), [*model.parameters()])
    theirs = torch.autograd.grad((expected * weighting).sum(), [*alone.parameters()])
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_initial_state_is_zeros(model: LanguageModel, cell: str, num_layers: int) -> None:
    state = model.initial_state(BATCH)
    tensors_per_layer = 2 if cell in ("lstm", "mogrifier") else 1
    assert [len(layer_state) for layer_state in state] == [tensors_per_layer] * num_layers
    for tensor in flat(state):
        assert torch.equal(tensor, torch.zeros(BATCH, HIDDEN_SIZE, dtype=torch.float64))


def test_the_state_conditions_what_follows(model: LanguageModel, random: torch.Generator) -> None:
    ids = some_ids(random)
    from_nothing, _ = model(ids, model.initial_state(BATCH))
    from_something, _ = model(ids, some_state(model, random))
    assert not torch.allclose(from_nothing[0], from_something[0])


# What an output depends on


def test_outputs_are_causal(model: LanguageModel, random: torch.Generator) -> None:
    """A later character changes no earlier output."""
    ids = some_ids(random)
    logits, _ = model(ids, model.initial_state(BATCH))
    for place in range(TIME):
        changed = ids.clone()
        changed[place] = (ids[place] + 1) % VOCABULARY_SIZE
        changed_logits, _ = model(changed, model.initial_state(BATCH))
        assert torch.equal(changed_logits[:place], logits[:place])
        assert not torch.allclose(changed_logits[place], logits[place])


def test_columns_are_independent(model: LanguageModel, random: torch.Generator) -> None:
    """Columns of a batch do not influence each other."""
    ids, state = some_ids(random), some_state(model, random)
    together, end = model(ids, state)
    for column in range(BATCH):
        mine = slice(column, column + 1)
        alone, end_alone = model(ids[:, mine], tuple(tuple(t[mine] for t in s) for s in state))
        torch.testing.assert_close(alone, together[:, mine])
        torch.testing.assert_close(flat(end_alone), [tensor[mine] for tensor in flat(end)])


# Parameters


def test_number_of_parameters(
    model: LanguageModel, cell: str, num_layers: int, embedding_size: int | None
) -> None:
    q, h, e, gates = VOCABULARY_SIZE, HIDDEN_SIZE, embedding_size or 0, NUM_GATES[cell]
    gate_of_hidden = 1 if cell == "mogrifier" else 0  # which has no recurrent weights
    lowest = (gates + gate_of_hidden) * ((e or q) * h + h) + gates * h * h
    higher = (gates + gate_of_hidden) * (h * h + h) + gates * h * h
    assert model.num_parameters == q * e + lowest + (num_layers - 1) * higher + h * q + q


def test_tied_weights_are_the_embedding(cell: str, random: torch.Generator) -> None:
    sizes = {"embedding_size": HIDDEN_SIZE, "num_layers": 2}
    tied = LanguageModel(model_config(cell, tie_weights=True, **sizes), VOCABULARY_SIZE)
    untied = LanguageModel(model_config(cell, **sizes), VOCABULARY_SIZE)
    assert untied.num_parameters - tied.num_parameters == HIDDEN_SIZE * VOCABULARY_SIZE
    assert set(untied.state_dict()) - set(tied.state_dict()) == {"W_hq"}

    tied.initialize(random)
    assert tied.embedding is not None
    weights = tied.state_dict() | {"W_hq": tied.embedding.detach().T}
    untied.load_state_dict(weights)
    ids = some_ids(random)
    logits, _ = tied(ids, tied.initial_state(BATCH))
    expected, _ = untied(ids, untied.initial_state(BATCH))
    torch.testing.assert_close(logits, expected)


# Dropout


def test_without_training_nothing_is_dropped(
    make_model: MakeModel, random: torch.Generator
) -> None:
    with_dropout = make_model(dropout=0.5).eval()
    without = twin(with_dropout, dropout=0.0).train()
    ids = some_ids(random)
    masks = Masks([0], BATCH)
    logits, _ = with_dropout(ids, with_dropout.initial_state(BATCH), masks)
    untouched = Masks([0], BATCH).for_columns(1, 64)
    assert (masks.for_columns(1, 64) == untouched).all(), "nothing was drawn before"
    expected, _ = without(ids, without.initial_state(BATCH))
    torch.testing.assert_close(logits, expected)


def test_masks_depend_on_the_seed_alone(make_model: MakeModel, random: torch.Generator) -> None:
    model = make_model(dropout=0.5).train()
    ids = some_ids(random)
    before = torch.get_rng_state()
    first, again, other = (
        model(ids, model.initial_state(BATCH), Masks([seed], BATCH))[0] for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_state_itself_is_never_dropped(make_model: MakeModel, random: torch.Generator) -> None:
    with_dropout = make_model(dropout=0.5).train()
    without = twin(with_dropout, dropout=0.0)
    ids = some_ids(random)
    _, (lowest, *_) = with_dropout(ids, with_dropout.initial_state(BATCH), Masks([0], BATCH))
    _, (expected, *_) = without(ids, without.initial_state(BATCH))
    torch.testing.assert_close(lowest, expected)


def test_masks_of_both_implementations(make_model: MakeModel, random: torch.Generator) -> None:
    """Both implementations use the same masks."""
    fused = make_model(dropout=0.5).train()
    equations = twin(fused, implementation="equations").train()
    ids = some_ids(random)
    logits, expected = (
        model(ids, model.initial_state(BATCH), Masks([1], BATCH))[0] for model in (fused, equations)
    )
    torch.testing.assert_close(logits, expected)


def test_dropout_keeps_the_mean() -> None:
    """A dropped unit is zero, and the others are scaled up to keep the mean."""
    dropped = drop_units(torch.ones(100, 10, 20), 0.2, Masks([0], 10))
    kept = dropped > 0
    torch.testing.assert_close(dropped[kept], torch.full_like(dropped[kept], 256 / (256 - 51)))
    assert kept.float().mean().item() == pytest.approx(0.8, abs=0.015)  # five deviations
    assert (dropped[~kept] == 0).all()


def test_locked_dropout_has_one_mask() -> None:
    """Locked dropout drops the same units at all steps, and others in each column."""
    dropped = drop_units(torch.ones(7, 10, 400), 0.5, Masks([0], 10), over_time=True)
    assert (dropped == dropped[0]).all()
    assert not (dropped[0] == dropped[0, 0]).all()
    assert (dropped[0] > 0).float().mean().item() == pytest.approx(0.5, abs=0.05)


def test_embedding_dropout_has_one_mask(make_model: MakeModel, random: torch.Generator) -> None:
    """A character loses the same components wherever it stands."""
    model = make_model(embedding_dropout=0.5).train()
    if model.embedding is None:
        pytest.skip("one-hot vectors are not dropped")
    ids = torch.zeros(1, BATCH, dtype=torch.long)  # one character in every column, from one state
    logits, _ = model(ids, model.initial_state(BATCH), Masks([0], BATCH))
    torch.testing.assert_close(logits, logits[:, :1].expand_as(logits))
    expected, _ = model.eval()(ids, model.initial_state(BATCH))
    assert not torch.allclose(logits, expected)


def test_loss_is_mean_of_predictions(make_model: MakeModel, random: torch.Generator) -> None:
    """The loss is the mean cross-entropy of the predictions of `forward`."""
    model = make_model(dropout=0.5).train()
    ids, targets = some_ids(random), some_ids(random)
    state = model.initial_state(BATCH)
    loss, last = model.loss(ids, targets, state, Masks([1], BATCH))
    logits, expected = model(ids, state, Masks([1], BATCH))
    mean = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    torch.testing.assert_close(loss, mean)
    torch.testing.assert_close(last, expected)


# Initialization


def large_model(cell: str, initialization: str, seed: int = 0) -> LanguageModel:
    """Large enough for statistics of its weights."""
    sizes = {"hidden_size": 96, "embedding_size": 64, "num_layers": 2}
    model = LanguageModel(model_config(cell, initialization=initialization, **sizes), 80)
    model.initialize(torch.Generator().manual_seed(seed))
    return model


def gates(layer: Cell) -> list[Tensor]:
    """The blocks of W_hh."""
    return list(layer.W_hh.detach().chunk(layer.num_gates, dim=1))


def test_weights_that_were_never_set_give_nan(cell: str) -> None:
    """Else results would depend on what the memory contained."""
    model = LanguageModel(model_config(cell, num_layers=2, embedding_size=3), VOCABULARY_SIZE)
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    assert all(matrix.isnan().all() for matrix in matrices)
    assert model(torch.tensor([[0], [1]]), model.initial_state(1))[0].isnan().all()
    model.initialize(torch.Generator().manual_seed(0))
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_normal_has_deviation_of_0_01(cell: str) -> None:
    for name, weights in large_model(cell, "normal").state_dict().items():
        if weights.ndim == 1:
            assert (weights == 0).all(), name
        else:
            assert weights.std().item() == pytest.approx(0.01, rel=0.05), name
            assert weights.mean().item() == pytest.approx(0, abs=5e-4), name


def test_orthogonal_gates_keep_the_norm(cell: str) -> None:
    for layer in large_model(cell, "orthogonal").layers:
        for gate in gates(layer):
            torch.testing.assert_close(gate.T @ gate, torch.eye(96), rtol=0, atol=1e-5)


def test_orthogonal_gates_are_independent(cell: str) -> None:
    drawn = [gate for layer in large_model(cell, "orthogonal").layers for gate in gates(layer)]
    assert len(drawn) == 2 * NUM_GATES[cell]
    assert len({tuple(gate[0].tolist()) for gate in drawn}) == len(drawn)


@pytest.mark.parametrize("initialization", ["uniform", "orthogonal"])
def test_other_matrices_are_uniform(cell: str, initialization: str) -> None:
    """The other matrices are uniform between their bounds."""
    model = large_model(cell, initialization)
    assert model.W_hq is not None
    assert model.embedding is not None
    bound = 1 / math.sqrt(96)
    recurrent = [layer.W_hh for layer in model.layers if initialization == "uniform"]
    for matrix in [model.W_hq, *(layer.W_xh for layer in model.layers), *recurrent]:
        assert matrix.abs().max().item() <= bound
        assert matrix.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert model.embedding.std().item() == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize("initialization", ["uniform", "orthogonal"])
def test_forget_gate_has_bias_one(cell: str, initialization: str) -> None:
    """The forget gate of an LSTM has a bias of one, and no other gate."""
    model = large_model(cell, initialization)
    assert (model.b_q == 0).all()
    for layer in model.layers:
        expected = torch.zeros(NUM_GATES[cell], 96)
        if isinstance(layer, LSTMCell):
            expected[1] = 1.0  # I, F, candidate, O
        assert torch.equal(layer.b_h.detach(), expected.flatten())


@pytest.mark.parametrize("initialization", ["normal", "uniform", "orthogonal"])
def test_weights_depend_on_the_seed_alone(cell: str, initialization: str) -> None:
    before = torch.get_rng_state()
    first, again, other = (
        large_model(cell, initialization, seed).state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first if "W_" in name)
    assert torch.equal(torch.get_rng_state(), before)
