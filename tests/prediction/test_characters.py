"""Scores of single characters: nats, ranks, entropies and alternatives are those of the model."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from support.ensembles import SIZE, make_member, some_ids
from support.scoring import VOCABULARY, make_model, random_ids

from charlm.models.cells import CELLS
from charlm.models.ensemble import AnyModel, Ensemble
from charlm.prediction import characters, reading
from charlm.prediction.characters import Columns, score_ids, score_pieces
from charlm.prediction.reading import WARM_UP
from charlm.prediction.scoring import nats_of_each, total_nats


def step_by_step(model: AnyModel, ids: np.ndarray) -> list[np.ndarray]:
    """Return the probabilities of every id at each place but the first: the definition."""
    state, distributions = model.initial_state(1), []
    with torch.no_grad():
        for now, _ in pairwise(ids):
            logits, state = model(torch.tensor([[int(now)]]), state)
            distributions.append(logits[0, 0].double().softmax(0).numpy())
    return distributions


def check(model: AnyModel, ids: np.ndarray, columns: Columns) -> None:
    """Assert that columns are those of the distributions at each place."""
    distributions = step_by_step(model, ids)
    assert columns.places.tolist() == list(range(1, len(ids)))
    for index, (distribution, target) in enumerate(zip(distributions, ids[1:], strict=True)):
        p = distribution[int(target)]
        assert columns.nats[index] == pytest.approx(-math.log(p), rel=1e-3, abs=1e-5)
        likelier = np.sort(distribution)[::-1]
        rank = columns.ranks[index]
        assert likelier[rank - 1] == pytest.approx(p, rel=1e-3)
        entropy = -(distribution * np.log(distribution)).sum()
        assert columns.entropies[index] == pytest.approx(entropy, rel=1e-3, abs=1e-5)
        width = columns.likeliest.shape[1]
        assert columns.probabilities[index] == pytest.approx(likelier[:width], rel=1e-3)
        named = distribution[columns.likeliest[index].astype(int)]
        assert named == pytest.approx(likelier[:width], rel=1e-3)


@pytest.mark.parametrize("cell", sorted(CELLS))
def test_columns_are_those_of_single_steps(cell: str) -> None:
    model, ids = make_model(cell=cell, num_layers=2), random_ids(60)
    check(model, ids, score_ids(model, ids, num_likeliest=3))


def test_columns_of_an_ensemble() -> None:
    """The columns are those of its mixture."""
    ensemble = Ensemble([make_member(0), make_member(1)], 2, some_ids(1, 300))
    ids = some_ids(2, 40)
    check(ensemble, ids, score_ids(ensemble, ids, num_likeliest=SIZE + 3))


@pytest.mark.parametrize("rows", [1, 3])
def test_nats_add_up_to_the_score(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one stream and in several, whatever the size of the pieces."""
    monkeypatch.setattr(reading, "_PREDICTIONS_AT_ONCE", 97)
    monkeypatch.setattr(characters, "_LOGITS_AT_ONCE", 7 * VOCABULARY)
    model, ids = make_model(), random_ids(4 * WARM_UP)
    columns = score_ids(model, ids, rows)
    total = total_nats(model, ids, rows)
    assert columns.nats.sum(dtype=np.float64) == pytest.approx(total, rel=1e-9)
    assert columns.nats == pytest.approx(nats_of_each(model, ids, rows))
    assert columns.places.tolist() == list(range(1, len(ids)))


def test_pieces_have_a_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long text is read in pieces, which come in the order of the text."""
    monkeypatch.setattr(reading, "_PREDICTIONS_AT_ONCE", 10)
    model, ids = make_model(), random_ids(102)
    pieces = list(score_pieces(model, ids))
    assert [len(piece) for piece in pieces] == [10] * 10 + [1]
    assert np.concatenate([piece.places for piece in pieces]).tolist() == list(range(1, 102))


def test_reading_can_be_left_off() -> None:
    """A model that is read only in part returns to the mode in which it was."""
    model = make_model(dropout=0.5).train()
    pieces = score_pieces(model, random_ids(9000))
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert model.training


def test_ties_have_the_better_rank() -> None:
    """A model without weights finds all characters equally likely."""
    model = make_model()
    for parameter in model.parameters():
        parameter.data.zero_()
    columns = score_ids(model, random_ids(20))
    assert set(columns.ranks.tolist()) == {1}
    assert columns.entropies == pytest.approx(math.log(VOCABULARY))
    assert columns.likeliest.shape == (19, 0)
