"""Units and features: the states are the model's, the correlations those of the definition."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support.scoring import VOCABULARY, make_model, random_ids
from support.training import TINY

import charlm
from charlm.analysis import activations as analysis
from charlm.analysis.activations import activations, states_of
from charlm.analysis.features import features_of
from charlm.config.schema import ModelConfig
from charlm.errors import CharlmError, CorpusError
from charlm.models.cells import CELLS
from charlm.models.language_model import LanguageModel
from charlm.models.units import units_of
from charlm.prediction.predictor import Predictor

TEXT = "a (bad) café\n" * 12 + "A good (one).\n" * 9


def step_by_step(network: LanguageModel, ids: np.ndarray) -> np.ndarray:
    """Return the states after each id, as the model passes them from call to call."""
    state, rows = network.initial_state(1), []
    with torch.no_grad():
        for one in ids:
            state = network.advance(torch.tensor([[int(one)]]), state)
            rows.append(torch.cat([tensor for layer in state for tensor in layer], dim=1)[0])
    return torch.stack(rows).numpy()


@pytest.mark.parametrize("embedding_size", [None, 6])
@pytest.mark.parametrize("cell", sorted(CELLS))
def test_units_are_those_of_single_steps(
    cell: str, embedding_size: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H and C of all layers, in pieces of any size, with the names in the same order."""
    monkeypatch.setattr(analysis, "_STATES_AT_ONCE", 7)
    network = make_model(cell=cell, num_layers=2, embedding_size=embedding_size, dropout=0.3)
    ids = random_ids(33)
    pieces = list(states_of(network.train(), ids))
    assert max(len(places) for places, _ in pieces) == 7
    assert np.concatenate([places for places, _ in pieces]).tolist() == list(range(33))
    states = np.concatenate([states for _, states in pieces])
    assert states == pytest.approx(step_by_step(network.eval(), ids), rel=1e-3, abs=1e-5)
    kinds = [(unit.layer, unit.state) for unit in units_of(network)[::12]]
    assert kinds == [(layer, one) for layer in (1, 2) for one in "HC"[: len(kinds) // 2]]


def test_streams_read_each_character_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """With context before each, so that the states are about those of one stream."""
    monkeypatch.setattr(analysis, "_STATES_AT_ONCE", 50)
    network, ids = make_model(), random_ids(1000)
    found, seen = np.full((1000, 24), np.nan, np.float32), np.zeros(1000, int)
    for places, states in states_of(network, ids, 3):
        found[places] = states
        seen[places] += 1
    assert (seen == 1).all()
    assert found == pytest.approx(step_by_step(network, ids), abs=1e-4)


@pytest.mark.parametrize("cell", sorted(CELLS))
def test_units_forget_the_record_before(cell: str) -> None:
    """As the model of records does: the states of a record do not depend on what precedes it."""
    config = ModelConfig.model_validate({"cell": cell, "hidden_size": 12, "num_layers": 2})
    network = LanguageModel(config, VOCABULARY, boundary=2).eval()
    network.initialize(torch.Generator().manual_seed(0))
    ids = random_ids(60)
    assert (ids == 2).sum() > 1
    (found,) = (states for _, states in states_of(network, ids))
    assert found == pytest.approx(step_by_step(network, ids), rel=1e-3, abs=1e-5)


@pytest.fixture(scope="module", params=["character", "byte"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = tmp_path_factory.mktemp("trained")
    path = folder / "text.txt"
    path.write_text("a (bad) café\n" * 99, "utf-8")
    settings = [*TINY, "training.steps=2", f"corpus.unit={request.param}"]
    return charlm.load(charlm.train("quickstart", text=path, runs=folder, settings=settings).run)


def test_correlations_are_those_of_the_definition(trained: Predictor, tmp_path: Path) -> None:
    """On each half; a character of a byte model has the state after its last byte."""
    path = tmp_path / "other.txt"
    path.write_text(TEXT, "utf-8")
    found = activations(trained, path)
    assert isinstance(trained.model, LanguageModel)
    states, ids = step_by_step(trained.model, found.ids), found.ids
    sizes = [len(one.encode()) if len(ids) > len(TEXT) else 1 for one in TEXT]
    of_characters = states[np.cumsum(sizes) - 1]
    named, half = dict(features_of(found.text)), len(TEXT) // 2
    assert found.features == tuple(named)
    for number, rows in enumerate((slice(0, half), slice(half, None))):
        for place, name in enumerate(found.features):
            feature = named[name][rows]
            if feature.std() == 0:
                assert np.isnan(found.correlations[number, :, place]).all()
                continue
            expected = np.corrcoef(of_characters[rows].T, feature)[-1, :-1]
            assert found.correlations[number, :, place] == pytest.approx(expected, abs=2e-3)


def test_a_follower_is_chosen_on_the_first_half(trained: Predictor, tmp_path: Path) -> None:
    """It has the strongest correlation there, of either sign; the second is only reported."""
    path = tmp_path / "other.txt"
    path.write_text(TEXT, "utf-8")
    found = activations(trained, path)
    for one in found.followers:
        place = found.features.index(one.feature)
        column = found.correlations[:, :, place]
        unit = found.units.index(one.unit)
        assert abs(one.found) == np.nanmax(np.abs(column[0])) == abs(column[0, unit])
        assert (one.unseen is None) == bool(np.isnan(column[1, unit]))
    assert found.followers[0].feature in repr(found)
    assert str(found.followers[-1].unit) in found._repr_html_()
    by_strength = [abs(one.unseen or 0) for one in found.followers]
    assert by_strength == sorted(by_strength, reverse=True)
    assert "upper case" not in [one.feature for one in found.followers]  # only in the second half
    assert len(list(found.rows())) == len(found.features) * len(found.units)


def test_what_cannot_be_searched_is_refused(trained: Predictor, tmp_path: Path) -> None:
    """A text that cannot be halved, one in which nothing varies, a member of a single network."""
    path = tmp_path / "short.txt"
    path.write_text("a bad caf", "utf-8")
    with pytest.raises(CorpusError, match="a text of 9 characters is too short"):
        activations(trained, path)
    with pytest.raises(CharlmError, match="single network; omit --member"):
        activations(trained, path, member=2)
