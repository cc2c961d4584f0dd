"""Loss against history: each history has its length, and the verdict follows from the losses."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from support.ensembles import make_member, some_ids
from support.scoring import make_model, random_ids
from support.training import TINY

import charlm
from charlm.analysis import context
from charlm.analysis.block_bootstrap import Interval
from charlm.analysis.context import (
    ContextCurve,
    HistoryLoss,
    nats_after,
    spread_evenly,
)
from charlm.errors import CorpusError
from charlm.models.cells import CELLS
from charlm.models.ensemble import AnyModel, Ensemble


def by_definition(model: AnyModel, ids: np.ndarray, place: int, history: int) -> float:
    """Read the characters one by one from the zero state."""
    state = model.initial_state(1)
    with torch.no_grad():
        for one in ids[place - history : place]:
            logits, state = model(torch.tensor([[int(one)]]), state)
    return -float(logits[0, 0].double().log_softmax(0)[int(ids[place])])


@pytest.mark.parametrize("cell", sorted(CELLS))
@pytest.mark.parametrize("history", [1, 2, 7])
def test_a_history_has_its_length(cell: str, history: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every cell, and whatever the size of the pieces; dropout is off."""
    monkeypatch.setattr(context, "_WINDOWS_AT_ONCE", 3)
    monkeypatch.setattr(context, "_STEPS_AT_ONCE", 2)
    model = make_model(cell=cell, num_layers=2, dropout=0.5).train()
    ids, places = random_ids(40), np.array([7, 8, 20, 39])
    found = nats_after(model, ids, places, history)
    assert model.training
    model.eval()
    expected = [by_definition(model, ids, int(place), history) for place in places]
    assert found == pytest.approx(expected, rel=1e-3)


def test_n_grams_see_at_most_their_order() -> None:
    """An ensemble has the history of its networks; n-grams see what is there of their order."""
    ensemble = Ensemble([make_member(0), make_member(1)], 3, some_ids(1, 300))
    ids, places = some_ids(2, 40), np.array([8, 9, 30])
    for history in (1, 2, 8):
        expected = [by_definition(ensemble, ids, int(place), history) for place in places]
        assert nats_after(ensemble, ids, places, history) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("number", [1, 5, 19, 90, 91, 1000])
def test_places_are_spread_evenly(number: int) -> None:
    """They differ, none has too little before it, and all are taken if there are fewer."""
    places = spread_evenly(10, 100, number)
    assert len({*places.tolist()}) == min(number, 90)
    assert places.min() == 10
    assert places.max() < 100
    assert len(places) < 2 or np.ptp(np.diff(places)) <= 1


def curve(*bits: float) -> ContextCurve:
    losses = [
        HistoryLoss(1 << k, one, Interval(one, one), bits[k - 1] - one if k else None)
        for k, one in enumerate(bits)
    ]
    return ContextCurve("a text", "character", 9, tuple(losses))


@pytest.mark.parametrize(
    ("bits", "useful", "words"),
    [
        ((3.0, 2.0, 1.995, 1.991), 2, "beyond 2 characters of history this model gains less"),
        ((3.0, 2.0, 1.995, 1.988), 4, "beyond 4 characters"),
        ((3.0, 2.0, 1.0), 4, "uses all of 4 characters of history: the last doubling gains 1.000"),
        ((2.0, 1.0, 1.5), 2, "after 4 it is worse than after 2, by 0.500"),
        ((1.0, 1.0, 1.0), 1, "beyond 1 character of history"),
    ],
)
def test_the_verdict_follows_from_losses(bits: tuple[float, ...], useful: int, words: str) -> None:
    """All that is gained beyond a history counts, not only the next doubling."""
    assert curve(*bits).useful_history == useful
    assert words in curve(*bits).verdict


@pytest.fixture(scope="module", params=["character", "byte"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    path = folder / "text.txt"
    path.write_text("a bad café\n" * 99, "utf-8")
    settings = [*TINY, "training.steps=2", f"corpus.unit={request.param}"]
    return charlm.train("quickstart", text=path, runs=folder, settings=settings).folder.path


def test_gains_are_differences_of_losses(trained: Path, tmp_path: Path) -> None:
    """Of characters, or of the bytes of a byte model; unknown characters are read, too."""
    model = charlm.load(trained)
    path = tmp_path / "other.txt"
    letters = np.random.default_rng(0).choice([*"a bad 日 café\n"], size=600)
    path.write_text("".join(letters), "utf-8")
    found = charlm.context(model, path, targets=120)
    assert found.verdict in repr(found)
    assert found.verdict in found._repr_html_()
    assert found.unit == model.vocabulary.unit
    assert found.targets == 120
    assert [one.history for one in found.losses] == [1 << k for k in range(len(found.losses))]
    for shorter, longer in zip(found.losses, found.losses[1:], strict=False):
        assert longer.gain == pytest.approx(shorter.bits - longer.bits)
        assert longer.gain_interval is not None and longer.interval is not None
        assert longer.gain in longer.gain_interval
        assert longer.bits in longer.interval
    assert all(0 < one.bits < math.inf for one in found.losses)


def test_a_short_text_has_short_histories(trained: Path, tmp_path: Path) -> None:
    """At most half of the text, and the reason is there; too short a text is refused."""
    model, path = charlm.load(trained), tmp_path / "short.txt"
    path.write_text("a bad caf\n", "utf-8")
    found = charlm.context(model, path)
    assert [one.history for one in found.losses] == [1, 2, 4]
    assert found.targets == 6
    assert "the text has 10" in found.limit
    path.write_text("a bad ca", "utf-8")
    with pytest.raises(CorpusError, match=r"short.txt: a text of 8 \w+ is too short"):
        charlm.context(model, path)
