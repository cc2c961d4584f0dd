"""Output that is not finite is an error, in generation and in scores, wherever it is computed."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from charlm.config.schema import Config, GenerationConfig, ModelConfig
from charlm.corpus.corpus import Split
from charlm.corpus.vocabulary import UNKNOWN_TYPE, Vocabulary
from charlm.errors import DivergenceError
from charlm.models.ensemble import AnyModel, Ensemble
from charlm.models.language_model import LanguageModel
from charlm.models.mixture_fit import fit_mixture
from charlm.models.openings import Opening
from charlm.prediction.dynamic import DynamicEvaluation, Rates
from charlm.prediction.evaluation import evaluate
from charlm.prediction.generated_ids import generate_ids, sample_generators
from charlm.prediction.next_character import choose
from charlm.prediction.perplexity import Score
from charlm.prediction.predictor import Predictor
from charlm.runs.checkpoint import Checkpoint

LETTERS = Vocabulary(tuple(map(ord, "abcdefgh")))
SIZE = len(LETTERS)
UNKNOWN = 0
ENGINES = ["fused", "equations", "ensemble"]


def make_model(engine: str, **keys: Any) -> LanguageModel | Ensemble:
    """A small network; in an ensemble with n-grams where that is asked for."""
    sizes: dict[str, Any] = {"hidden_size": 16, "embedding_size": 4}
    if engine != "ensemble":
        sizes["implementation"] = engine
    model = LanguageModel(ModelConfig.model_validate(sizes | keys), SIZE)
    model.initialize(torch.Generator().manual_seed(0))
    if engine == "ensemble":
        return Ensemble([model.eval()], 2, np.arange(1, SIZE, dtype=np.uint8))
    return model


def network_of(model: AnyModel) -> LanguageModel:
    return model.members[0] if isinstance(model, Ensemble) else model


def steps(model: AnyModel, samples: int = 3, **config: Any) -> Iterator[torch.Tensor]:
    settings = GenerationConfig.model_validate({"length": 400} | config)
    opening = Opening.of_prefix(model, LETTERS.encode_text("ab"))
    return generate_ids(model, opening, settings, sample_generators(5, samples), forbidden=UNKNOWN)


BROKEN = {
    "one is not a number": lambda biases: biases.index_fill_(0, torch.tensor([5]), math.nan),
    "one is infinite": lambda biases: biases.index_fill_(0, torch.tensor([5]), math.inf),
    "all are minus infinity": lambda biases: biases.fill_(-math.inf),
}


@pytest.mark.parametrize("settings", [{}, {"greedy": True}, {"top_k": 3, "top_p": 0.9}], ids=str)
@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("engine", ENGINES)
def test_bad_logits_are_an_error(engine: str, kind: str, settings: dict[str, Any]) -> None:
    """No character is chosen from logits without a distribution."""
    model = make_model(engine)
    with torch.no_grad():
        BROKEN[kind](network_of(model).b_q)
    with pytest.raises(DivergenceError, match="output is not finite"):
        next(steps(model, **settings))


@pytest.mark.parametrize("settings", [{}, {"greedy": True}], ids=str)
@pytest.mark.parametrize("is_mixed", [False, True])
def test_overflow_stops_at_the_same_character(is_mixed: bool, settings: dict[str, Any]) -> None:
    """A ReLU network whose finite weights double its state at each step."""
    written = []
    for engine in ("fused", "equations"):
        keys = {"cell": "rnn", "nonlinearity": "relu", "implementation": engine}
        model = make_model("ensemble" if is_mixed else engine, **keys)
        network = network_of(model)
        with torch.no_grad():
            network.layers[0].W_hh.copy_(2 * torch.eye(16))
            network.layers[0].W_xh.abs_()
            network.output_weights.mul_(0.1)
        drawn = []
        with pytest.raises(DivergenceError, match="output is not finite"):
            for ids in steps(model, **settings):
                drawn.append(ids)
        written.append(torch.stack(drawn))
    assert 100 < len(written[0]) < 140
    assert torch.equal(*written)


@pytest.mark.parametrize("engine", ["fused", "equations"])
def test_one_character_may_be_impossible(engine: str) -> None:
    """Minus infinity is a probability of zero, and no fault."""
    model = make_model(engine)
    with torch.no_grad():
        network_of(model).b_q[5] = -math.inf
    drawn = torch.stack(list(steps(model, temperature=3.0)))
    assert len(drawn) == 400
    assert not (drawn == 5).any()


@pytest.mark.parametrize("settings", [{}, {"greedy": True}, {"temperature": 1e-30}], ids=str)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_choosing_needs_finite_logits(bad: float, settings: dict[str, Any]) -> None:
    config, uniforms = GenerationConfig.model_validate(settings), torch.zeros(2).double()
    with pytest.raises(DivergenceError):
        choose(torch.tensor([[0.0, 1.0], [0.0, bad]]), config, uniforms)


def part_of_letters() -> Split:
    ids = LETTERS.encode_text("abcdefgh" * 80)
    return Split(ids, LETTERS.sizes, np.zeros(0, UNKNOWN_TYPE))


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("engine", ENGINES)
def test_score_must_be_finite(engine: str, rows: int, tmp_path: Path) -> None:
    """A score that is not finite is an error."""
    model, text = make_model(engine).eval(), tmp_path / "text.txt"
    text.write_text("abcdefgh" * 80, "utf-8")
    checkpoint = Checkpoint(Config(), LETTERS, "0", {})
    predictor = Predictor(model, LETTERS, Config(), checkpoint)
    assert math.isfinite(evaluate(predictor, text=text, rows=rows).nats)
    with torch.no_grad():
        network_of(model).b_q[3] = math.nan
    with pytest.raises(DivergenceError, match=r"text\.txt: the loss is nan"):
        evaluate(predictor, text=text, rows=rows)


@pytest.mark.parametrize("nats", [math.nan, math.inf])
def test_a_checked_score_is_finite(nats: float) -> None:
    assert Score(2.0, 1, 1, 0).checked("test").perplexity == math.exp(2)
    with pytest.raises(DivergenceError, match=f"validation: the loss is {nats}"):
        Score(nats, 1, 1, 0).checked("validation")


def test_fit_must_be_finite() -> None:
    """Fitting a mixture to output that is not finite is an error."""
    ensemble = make_model("ensemble")
    assert isinstance(ensemble, Ensemble)
    with torch.no_grad():
        network_of(ensemble).b_q[3] = math.nan
    ids = LETTERS.encode_text("abcdefgh" * 8)
    with pytest.raises(DivergenceError, match="mixture is nan"):
        fit_mixture(ensemble, ids[:10], ids)


def test_diverging_rates_are_never_best(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first that is tried would win every comparison with a loss that is not a number."""
    monkeypatch.setattr("charlm.prediction.dynamic._LEARNING_RATES", (math.inf, 1e-4, 2e-4))
    model, ids = make_model("fused"), part_of_letters().ids
    assert isinstance(model, LanguageModel)
    evaluation = DynamicEvaluation(model, ids, rates_text=ids[:200])
    assert math.isfinite(evaluation.rates.learning)
    assert isinstance(evaluation.rates, Rates)
