"""Cells and the model on a GPU: what cuDNN computes equals the equations on the CPU."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from charlm.config.schema import ModelConfig
from charlm.models.dropout import Masks
from charlm.models.language_model import LanguageModel
from charlm.models.states import ModelState
from charlm.prediction.dynamic import DynamicEvaluation, Rates
from charlm.prediction.scoring import total_nats

pytestmark = pytest.mark.cuda

SIZE, TIME, BATCH = 7, 9, 4
CELLS = ["rnn-tanh", "rnn-relu", "gru", "lstm", "mogrifier"]
DTYPES = {torch.float32: 1e-4, torch.float64: 1e-10}
"""Types to compute in, with the tolerance of each."""


@pytest.fixture(params=CELLS)
def cell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=list(DTYPES), ids=["f32", "f64"])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    assert isinstance(request.param, torch.dtype)
    return request.param


def make_pair(
    cell: str, device: torch.device, dtype: torch.dtype, **keys: object
) -> tuple[LanguageModel, LanguageModel]:
    """Return a model on the device and its equations on the CPU, with the same weights."""
    name, _, phi = cell.partition("-")
    sizes: dict[str, object] = {"hidden_size": 8, "embedding_size": 3, "num_layers": 2}
    config = {"cell": name, **sizes, **({"nonlinearity": phi} if phi else {}), **keys}
    equations = ModelConfig.model_validate({**config, "implementation": "equations"})
    expected = LanguageModel(equations, SIZE).to(dtype)
    random = torch.Generator().manual_seed(0)
    for parameter in expected.parameters():
        nn.init.normal_(parameter, std=0.3, generator=random)  # no ReLU network explodes
    model = LanguageModel(ModelConfig.model_validate(config), SIZE).to(dtype)
    model.load_state_dict(expected.state_dict())
    return model.to(device), expected


def ids_of(seed: int, batch: int = BATCH) -> Tensor:
    return torch.randint(SIZE, (TIME, batch), generator=torch.Generator().manual_seed(seed))


def state_of(model: LanguageModel) -> ModelState:
    """A state after other characters; it has gradients."""
    with torch.no_grad():
        state = model.advance(ids_of(3).to(model.device), model.initial_state(BATCH))
    return tuple(tuple(tensor.clone().requires_grad_() for tensor in layer) for layer in state)


def flat(state: ModelState) -> list[Tensor]:
    return [tensor for layer in state for tensor in layer]


def assert_near(found: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.cpu(), other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("embedding_size", [None, 3], ids=["one-hot", "embedding"])
def test_cuda_cells_equal_equations(
    device: torch.device, cell: str, embedding_size: int | None, dtype: torch.dtype
) -> None:
    """Logits, states and all gradients are those of the equations."""
    results: list[list[Tensor]] = []
    for model in make_pair(cell, device, dtype, embedding_size=embedding_size):
        begin = state_of(model)
        logits, end = model(ids_of(0).to(model.device), begin)
        weighting = torch.randn(
            logits.shape, generator=torch.Generator().manual_seed(1), dtype=dtype
        )
        total = (logits * weighting.to(model.device)).sum() + sum(t.sum() for t in flat(end))
        gradients = torch.autograd.grad(total, [*model.parameters(), *flat(begin)])
        results.append([logits, *flat(end), *gradients])
    assert_near(results[0], results[1], DTYPES[dtype])


def test_cuda_loss_equals_equations(device: torch.device, cell: str, dtype: torch.dtype) -> None:
    """With every kind of dropout, the loss and its gradients are those of the equations."""
    dropouts = {"dropout": 0.5, "embedding_dropout": 0.25, "locked_dropout": True}
    results: list[list[Tensor]] = []
    for model in make_pair(cell, device, dtype, **dropouts):
        inputs, targets = (ids_of(seed).to(model.device) for seed in (0, 1))
        loss, state = model.train().loss(
            inputs, targets, model.initial_state(BATCH), Masks([1], BATCH)
        )
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        results.append([loss, *flat(state), *gradients])
    assert_near(results[0], results[1], DTYPES[dtype])


def test_cuda_pieces_equal_the_whole(device: torch.device, cell: str) -> None:
    """A state that is carried from piece to piece, of one character too, loses nothing."""
    model, _ = make_pair(cell, device, torch.float64)
    ids, state = ids_of(0).to(device), model.initial_state(BATCH)
    whole, _ = model(ids, state)
    pieces = []
    for piece in torch.split(ids, [1, 5, 3]):
        logits, state = model(piece, state)
        pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces), whole)


def test_cuda_tied_weights(device: torch.device, dtype: torch.dtype) -> None:
    pair = make_pair("lstm", device, dtype, tie_weights=True, embedding_size=8)
    logits = [model(ids_of(0).to(model.device), model.initial_state(BATCH))[0] for model in pair]
    assert_near(logits[:1], logits[1:], DTYPES[dtype])


@pytest.mark.parametrize("rows", [1, 3])
def test_cuda_scores_are_those_of_the_cpu(device: torch.device, cell: str, rows: int) -> None:
    """A text has one score on both, exact and in streams."""
    text = np.random.default_rng(0).integers(SIZE, size=500).astype(np.uint8)
    nats = [
        total_nats(model.eval(), text, rows) for model in make_pair(cell, device, torch.float64)
    ]
    assert nats[0] == pytest.approx(nats[1], rel=1e-9)


def test_cuda_dynamic_evaluation(device: torch.device, cell: str) -> None:
    """A model that learns while it scores learns the same on both, and can be reset."""
    random = np.random.default_rng(0)
    training, text = (random.integers(SIZE, size=n).astype(np.uint8) for n in (300, 200))
    nats = []
    for model in make_pair(cell, device, torch.float64, num_layers=1):
        trained = [parameter.detach().clone() for parameter in model.parameters()]
        evaluation = DynamicEvaluation(model, training, Rates(learning=1e-3))
        nats.append(evaluation.nats_of_each(text))
        changed = [not torch.equal(*pair) for pair in zip(model.parameters(), trained, strict=True)]
        assert any(changed)
        evaluation.reset()
        assert all(torch.equal(*pair) for pair in zip(model.parameters(), trained, strict=True))
    # Neighbours are found in float32.
    np.testing.assert_allclose(nats[0], nats[1], rtol=1e-4)
