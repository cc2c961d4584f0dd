"""A mixture of networks and n-grams generates the same text in the kernels as step by step."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from support.generation import LETTERS, assert_samples_move, generate_many, text_of
from support.kernels import needs_compiler

from charlm.config.schema import Config, GenerationConfig, ModelConfig
from charlm.corpus.letters import LINE_END
from charlm.corpus.vocabulary import Vocabulary
from charlm.models.ensemble import AnyModel, Ensemble
from charlm.models.language_model import LanguageModel
from charlm.models.ngrams import NO_PARTS, NumpyNGrams, Parts, weights_shape
from charlm.models.openings import Opening
from charlm.prediction.compiled_generation import CompiledGenerator, is_supported
from charlm.prediction.generated_ids import generate_ids, sample_generators
from charlm.prediction.predictor import Predictor
from charlm.prediction.stepwise_generation import StepwiseGenerator

pytestmark = needs_compiler
CELLS = {
    "rnn": {"cell": "rnn"},
    "relu": {"cell": "rnn", "nonlinearity": "relu"},
    "gru": {"cell": "gru"},
    "lstm": {"cell": "lstm"},
    "mogrifier": {"cell": "mogrifier"},
}
FILTERS: list[dict[str, Any]] = [
    {},
    {"greedy": True},
    {"temperature": 0.3},
    {"top_k": 3},
    {"top_p": 0.6},
    {"min_p": 0.2},
    {"temperature": 1.7, "top_k": 7, "top_p": 0.8, "min_p": 0.05},
]
CONTEXTS = Parts(
    np.where(np.arange(len(LETTERS)) == 5, LINE_END, np.arange(len(LETTERS)) % 6 - 2),
    has_words=True,
    has_lines=True,
)


def counted_ids(size: int, length: int = 400) -> np.ndarray:
    """A text with frequent contexts, in which the unknown symbol also occurs."""
    random = np.random.default_rng(2)
    ids = np.arange(length) % min(size, 9)
    noise = random.random(length) < 0.3
    ids[noise] = random.integers(size, size=noise.sum())
    return ids.astype(np.int32)


def make_mixture(
    implementation: str = "fused",
    *,
    cell: str = "lstm",
    members: int = 2,
    order: int = 3,
    counted: int = 400,
    size: int = len(LETTERS),
    num_layers: int = 1,
    boundary: int | None = None,
    parts: Parts = NO_PARTS,
) -> Ensemble:
    """Make an ensemble whose mixture weights differ for each length of context."""
    sizes = {"hidden_size": 24, "embedding_size": 6, "num_layers": num_layers}
    keys = CELLS[cell] | sizes | {"implementation": implementation}
    networks = []
    for seed in range(members):
        network = LanguageModel(ModelConfig.model_validate(keys), size, boundary)
        network.initialize(torch.Generator().manual_seed(seed))
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(1.3)  # far from a guess
        networks.append(network.eval())
    shape = weights_shape(order, members, parts)
    weights = torch.from_numpy(np.random.default_rng(3).uniform(0.1, 0.6, shape))
    return Ensemble(networks, order, counted_ids(size, counted), weights, parts)


def ids_of(
    model: AnyModel, *, samples: int = 3, prefix: str = "abc", **config: Any
) -> torch.Tensor:
    """Generate more ids than the kernels generate at once; id 0 is forbidden."""
    opening = Opening.of_prefix(model, LETTERS.encode_text(prefix))
    settings = GenerationConfig.model_validate({"length": 70} | config)
    steps = generate_ids(model, opening, settings, sample_generators(5, samples), forbidden=0)
    return torch.stack(list(steps))


def check_same(config: dict[str, Any], **keys: Any) -> torch.Tensor:
    """Check that the kernels and the equations generate the same ids; return them."""
    fused, equations = make_mixture(**keys), make_mixture("equations", **keys)
    assert is_supported(fused)
    assert not is_supported(equations)
    generated = ids_of(fused, **config)
    assert torch.equal(generated, ids_of(equations, **config))
    assert (generated != 0).all()
    return generated


@pytest.mark.parametrize("filters", FILTERS, ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_mixture_in_kernels_is_the_same(cell: str, filters: dict[str, Any]) -> None:
    """The same random numbers give the same text: every cell, greedily and with each filter."""
    generated = check_same(filters, cell=cell)
    assert filters.get("greedy") or len(torch.unique(generated)) > 2


@pytest.mark.parametrize("boundary", [None, "b"])
@pytest.mark.parametrize("samples", [1, 3])
def test_words_in_kernels_are_the_same(samples: int, boundary: str | None) -> None:
    """With contexts of words and of the line above, too."""
    own = None if boundary is None else int(LETTERS.encode_text(boundary)[0])
    generated = check_same({"samples": samples}, parts=CONTEXTS, boundary=own)
    assert not torch.equal(generated, ids_of(make_mixture(boundary=own), samples=samples))


@pytest.mark.parametrize("has_contexts", [False, True])
@pytest.mark.parametrize("prefix", ["abc", "b", "abcdefgh" * 5])
@pytest.mark.parametrize("boundary", [None, "b"])
def test_matches_in_kernels_are_the_same(
    boundary: str | None, prefix: str, has_contexts: bool
) -> None:
    """With a match model, too."""
    own = None if boundary is None else int(LETTERS.encode_text(boundary)[0])
    keys: dict[str, Any] = {"boundary": own, "counted": 4_000}
    parts = CONTEXTS if has_contexts else NO_PARTS
    generated = check_same({"prefix": prefix}, parts=replace(parts, has_matches=True), **keys)
    assert not torch.equal(generated, ids_of(make_mixture(parts=parts, **keys), prefix=prefix))


@pytest.mark.parametrize("cell", CELLS)
def test_records_in_kernels_are_the_same(cell: str) -> None:
    """With a boundary between records, too, which occurs in the text."""
    boundary = int(LETTERS.encode_text("b")[0])
    keys: dict[str, Any] = {"cell": cell, "num_layers": 1 + (cell != "mogrifier"), "order": 4}
    generated = check_same({}, boundary=boundary, **keys)
    assert (generated == boundary).any()
    unlimited = ids_of(make_mixture(**keys), prefix="babc")
    assert not torch.equal(generated, unlimited)


@pytest.mark.parametrize("members", [1, 2, 3])
@pytest.mark.parametrize("order", [0, 1, 7])
@pytest.mark.parametrize("counted", [0, 1, 400])
def test_mixtures_of_all_sizes(members: int, order: int, counted: int) -> None:
    """One to several networks; no, few and long contexts; nothing counted."""
    check_same({}, members=members, order=order, counted=counted)


@pytest.mark.parametrize("prefix", ["a", "ab", "abcdefgh" * 5])
def test_contexts_at_the_beginning(prefix: str) -> None:
    """A prefix that is shorter than the longest context has no characters before it."""
    check_same({"prefix": prefix}, order=4)


@pytest.mark.parametrize("config", [{}, {"top_p": 0.8, "min_p": 0.01}], ids=str)
def test_mixture_of_bytes(config: dict[str, Any]) -> None:
    """256 symbols: vectors of the kernels that are full, and contexts with many followers."""
    check_same(config, size=256, counted=5_000)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_mixture_of_several_layers(cell: str) -> None:
    check_same({}, cell=cell, num_layers=3)


def test_counts_in_numpy_give_the_text() -> None:
    """The counts and mixtures of the kernels are those of numpy."""
    in_kernels, in_numpy = make_mixture(), make_mixture("equations")
    in_numpy.ngrams = NumpyNGrams(3, len(LETTERS))
    in_numpy.ngrams.count(np.concatenate([np.full(3, -1), counted_ids(len(LETTERS))]).astype(int))
    assert torch.equal(ids_of(in_kernels), ids_of(in_numpy))


def test_threads_and_samples_are_independent() -> None:
    """The text of a sample depends on neither the number of threads nor the other samples."""
    mixture, threads = make_mixture(parts=Parts(has_matches=True)), torch.get_num_threads()
    try:
        texts = []
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            texts.append(ids_of(mixture, samples=5))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(texts[0], texts[1])
    assert torch.equal(texts[0], texts[2])
    assert torch.equal(texts[0][:, :1], ids_of(mixture, samples=1))


def test_later_counts_change_the_text() -> None:
    """The kernels read the counts again for each piece, including those of a text counted since."""
    mixture = make_mixture(counted=0)
    opening = Opening.of_prefix(mixture, LETTERS.encode_text("abc"))
    config, before = GenerationConfig(length=70), ids_of(mixture, samples=1)
    steps = generate_ids(mixture, opening, config, sample_generators(5, 1), forbidden=0)
    begin = [next(steps) for _ in range(32)]
    mixture.count(counted_ids(len(LETTERS)))
    after = torch.stack(begin + list(steps))
    assert torch.equal(after[:32], before[:32])
    assert not torch.equal(after, before)


def test_mixture_generates_as_one_model() -> None:
    """Text and bytes, one sample and several, from one mixture in the kernels."""
    mixture = make_mixture(size=len(LETTERS))
    predictor = Predictor(mixture, LETTERS, Config())
    one = text_of(predictor, "ab", length=50)
    many = generate_many(predictor, "ab", num_samples=3, seed=0, length=50)
    assert many[0] == one
    assert len(set(many)) == 3
    of_bytes = Predictor(make_mixture(size=256), Vocabulary.of_bytes(), Config())
    assert len(text_of(of_bytes, "é", length=50)) <= 50


@pytest.mark.parametrize("implementation", ["fused", "equations"])
def test_samples_of_a_mixture_move(implementation: str) -> None:
    """The state of samples has that of every member, and their last characters."""
    mixture = make_mixture(implementation)
    is_fused = is_supported(mixture)
    assert is_fused == (implementation == "fused")
    assert_samples_move(mixture, CompiledGenerator if is_fused else StepwiseGenerator)
