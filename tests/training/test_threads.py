"""No bit of a result depends on the number of threads, where the kernels compute it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
import torch
from support.kernels import needs_compiler
from torch import Tensor

from charlm.config.schema import BatchesConfig, Config, ModelConfig, TrainingConfig
from charlm.corpus.batches import make_batches
from charlm.corpus.vocabulary import Vocabulary
from charlm.kernels.products import product, sum_rows, transposed_product
from charlm.kernels.threads import num_threads, only_kernels_share
from charlm.models.ensemble import Ensemble
from charlm.models.language_model import LanguageModel
from charlm.prediction import dynamic
from charlm.prediction.generation import generate_samples
from charlm.prediction.predictor import Predictor
from charlm.prediction.scoring import total_nats
from charlm.training import trainer as training
from charlm.training.distillation import Teacher
from charlm.training.optimizer import make_optimizer
from charlm.training.trainer import Trainer
from charlm.training.weight_averages import WeightAverages

NUMBERS = (1, 2, 3, 8)
IDS = np.random.default_rng(0).integers(0, 40, 9_000, np.uint16)
SHAPES: dict[str, dict[str, Any]] = {
    "rnn": {"cell": "rnn"},
    "relu": {"cell": "rnn", "nonlinearity": "relu"},
    "gru": {"cell": "gru"},
    "lstm": {"cell": "lstm"},
    "mogrifier": {"cell": "mogrifier"},
    "layers": {"cell": "lstm", "num_layers": 2, "dropout": 0.2},
    "gates": {"cell": "mogrifier", "num_layers": 2, "embedding_dropout": 0.1},
    "tied": {"cell": "lstm", "tie_weights": True, "embedding_size": 160},
    "one-hot": {"cell": "gru", "embedding_size": None, "dropout": 0.3, "locked_dropout": True},
}
"""Large enough that PyTorch, too, shares the work: it does from 32,768 elements on."""


@contextmanager
def threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def on_all(compute: Callable[[], Any]) -> list[Any]:
    """Return the results with each number of threads."""
    results = []
    for number in NUMBERS:
        with threads(number):
            results.append(compute())
    return results


def same(results: list[Any]) -> bool:
    if isinstance(results[0], Tensor):
        return all(torch.equal(results[0], result) for result in results[1:])
    return all(result == results[0] for result in results[1:])


def make_model(shape: str, precision: Any = "float32") -> LanguageModel:
    sizes = {"hidden_size": 160, "embedding_size": 48}
    model = LanguageModel(ModelConfig.model_validate(sizes | SHAPES[shape]), 40)
    model.initialize(torch.Generator().manual_seed(0))
    model.precision = precision
    return model


def make_trainer(model: LanguageModel, teacher: Teacher | None = None, **settings: Any) -> Trainer:
    batches = make_batches(IDS, BatchesConfig(batch_size=40, sequence_length=33), 0)
    config = TrainingConfig.model_validate(settings)
    return Trainer(model, batches, config, clock=lambda: 0.0, teacher=teacher)


def train(trainer: Trainer, numbers: tuple[int, ...]) -> list[Any]:
    """Take a step with each number of threads; return the losses, the norms and the weights."""
    results: list[Any] = []
    for number in numbers:
        with threads(number):
            report = trainer.take_step(next(trainer.batches), 0.1)
        results += [report.loss, report.gradient_norm]
    return [*results, trainer.model.digest(), *(t.sum().item() for t in trainer.weights().values())]


@needs_compiler
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", SHAPES)
def test_steps_are_the_same(shape: str, precision: str) -> None:
    """Losses, norms and weights after some steps do not depend on the threads of each step."""
    alone = train(make_trainer(make_model(shape, precision)), (1,) * 4)
    assert train(make_trainer(make_model(shape, precision)), (3, 8, 2, 8)) == alone


@needs_compiler
@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.1},
        {"average": 0.9, "max_gradient_norm": 0.01},
        {"accumulate": 3},
    ],
    ids=str,
)
def test_other_steps_are_the_same(settings: dict[str, Any]) -> None:
    """The same holds for other optimisers, for averages and for gradients of groups."""
    alone = train(make_trainer(make_model("lstm"), **settings), (1,) * 4)
    assert train(make_trainer(make_model("lstm"), **settings), (2, 8, 3, 8)) == alone


@needs_compiler
def test_distilled_steps_are_the_same() -> None:
    def student() -> Trainer:
        return make_trainer(make_model("lstm"), Teacher([make_model("gru")], 0.7))

    assert train(student(), (8, 3, 2)) == train(student(), (1, 1, 1))


@needs_compiler
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", SHAPES)
def test_scores_are_the_same(shape: str, precision: str) -> None:
    model = make_model(shape, precision)
    assert same(on_all(lambda: total_nats(model, IDS[:800], 1)))
    assert same(on_all(lambda: total_nats(model, IDS[:5000], 9)))


@needs_compiler
@pytest.mark.parametrize("shape", SHAPES)
def test_texts_are_the_same(shape: str) -> None:
    model = make_model(shape)
    vocabulary = Vocabulary(tuple(range(48, 88)))
    predictor = Predictor(model, vocabulary, Config())
    texts = on_all(lambda: generate_samples(predictor, num_samples=9, seed=1, length=30))
    assert same(texts)


def make_mixture(precision: Any = "float32") -> Ensemble:
    members = [make_model(shape, precision) for shape in ("lstm", "mogrifier")]
    weights = np.random.default_rng(1).uniform(0.1, 0.6, (4, 6))
    return Ensemble(members, 3, IDS[:2000], torch.from_numpy(weights))


@needs_compiler
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_mixtures_are_the_same(precision: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores, texts and dynamic evaluation of networks with n-grams."""
    monkeypatch.setattr("charlm.prediction.adaptive_network._NUM_BATCHES", 2)
    mixture = make_mixture(precision)
    assert same(on_all(lambda: total_nats(mixture, IDS[:400], 1)))
    assert same(on_all(lambda: total_nats(mixture, IDS[:5000], 19)))
    predictor = Predictor(mixture, Vocabulary(tuple(range(48, 88))), Config())
    for samples in (1, 19):
        texts = partial(generate_samples, predictor, num_samples=samples, seed=1, length=30)
        assert same(on_all(texts))

    def score() -> Any:
        evaluation = dynamic.DynamicEvaluation(make_mixture(precision), IDS, dynamic.Rates())
        return evaluation.nats_of_each(IDS[:70]).tolist()

    assert same(on_all(score))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_updates_are_the_same(optimizer: str) -> None:
    """Optimisers and averages compute each weight alone: PyTorch may share them among threads."""
    sizes = {"hidden_size": 523, "embedding_size": 37}  # above the size from which it does
    settings = {"optimizer": optimizer, "momentum": 0.9, "weight_decay": 0.1}
    config = TrainingConfig.model_validate(settings)

    def update() -> str:
        model = LanguageModel(ModelConfig.model_validate(sizes), 40)
        random = torch.Generator().manual_seed(0)
        model.initialize(random)
        rule, averages = make_optimizer(model, config), WeightAverages(model, 0.9)
        for step in range(3):
            for parameter in model.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=random)
            rule.step()
            averages.update(step)
        assert model.num_parameters >= training.SHARED_UPDATE_PARAMETERS
        found = sha256()
        for tensor in (*model.state_dict().values(), *averages.weights().values()):
            found.update(tensor.numpy().tobytes())
        return found.hexdigest()

    assert same(on_all(update))


@needs_compiler
@pytest.mark.parametrize("shape", SHAPES)
def test_dynamic_evaluation_is_the_same(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At this rate, steps are shortened by a sum over all weights."""
    monkeypatch.setattr("charlm.prediction.adaptive_network._NUM_BATCHES", 2)

    def score() -> list[Any]:
        model = make_model(shape)
        evaluation = dynamic.DynamicEvaluation(model, IDS, dynamic.Rates(1.0))
        return [evaluation.nats_of_each(IDS[:100]).tolist(), model.digest()]

    assert same(on_all(score))


@needs_compiler
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("places", "size", "columns"),
    [(4096, 256, 100), (1000, 160, 640), (513, 1, 1), (3, 7, 80), (2, 300, 5), (0, 3, 16)],
)
def test_products_are_the_same(places: int, size: int, columns: int, dtype: torch.dtype) -> None:
    """Products equal PyTorch's, and no bit of them depends on the threads."""
    random = torch.Generator().manual_seed(0)
    rows = torch.randn(places, size, generator=random).to(dtype)
    gradients = torch.randn(places, columns, generator=random).to(dtype)
    results = on_all(lambda: transposed_product(rows, gradients))
    assert same(results)
    expected = rows.t().double() @ gradients.double()
    torch.testing.assert_close(results[0].double(), expected, rtol=1e-4, atol=2e-4)
    weights = torch.randn(size, columns, generator=random)
    assert same(on_all(lambda: product(rows.float(), weights)))
    if columns % 16 == 0:
        sums = on_all(lambda: sum_rows(gradients, None))
        assert same(sums)
        torch.testing.assert_close(
            sums[0][0].double(), gradients.double().sum(0), rtol=1e-3, atol=1e-3
        )


@needs_compiler
def test_product_has_gradients() -> None:
    random = torch.Generator().manual_seed(0)
    rows = torch.randn(5, 3, 7, generator=random, requires_grad=True)
    weights = torch.randn(7, 11, generator=random, requires_grad=True)
    found = torch.autograd.grad(product(rows, weights).square().sum(), (rows, weights))
    expected = torch.autograd.grad((rows @ weights).square().sum(), (rows, weights))
    for value, exact in zip(found, expected, strict=True):
        torch.testing.assert_close(value, exact, rtol=1e-4, atol=1e-4)


def test_only_kernels_share_the_work() -> None:
    """In a block PyTorch has one thread and the kernels all; an error ends the block, too."""
    with threads(3):
        with only_kernels_share():
            assert (torch.get_num_threads(), num_threads()) == (1, 3)
            with only_kernels_share():
                assert (torch.get_num_threads(), num_threads()) == (1, 3)
        assert (torch.get_num_threads(), num_threads()) == (3, 3)
        with only_kernels_share(applies=False):
            assert (torch.get_num_threads(), num_threads()) == (3, 3)
        with pytest.raises(ZeroDivisionError), only_kernels_share():
            raise ZeroDivisionError
        assert (torch.get_num_threads(), num_threads()) == (3, 3)


@needs_compiler
def test_equations_keep_their_threads() -> None:
    """PyTorch's products and sums depend on the number of threads, so steps with them keep it."""
    equations = ModelConfig(hidden_size=8, embedding_size=8, implementation="equations")
    assert make_trainer(make_model("mogrifier")).may_vary_threads
    assert not make_trainer(LanguageModel(equations, 40)).may_vary_threads
    teacher = Teacher([LanguageModel(equations, 40)], 0.5)
    assert not make_trainer(make_model("lstm"), teacher).may_vary_threads
