"""A mixture is compared with its members on one text, and knows what really precedes a text."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.commands import SMALL
from support.ensembles import SIZE, make_member, part_of, some_ids

import charlm
from charlm.cli.finished import _summary
from charlm.config.schema import CorpusConfig
from charlm.corpus.builder import build_corpus
from charlm.models.ensemble import Ensemble
from charlm.models.mixture_fit import fit_mixture
from charlm.models.ngrams import make_ngrams
from charlm.prediction.dynamic import DynamicEvaluation, Rates
from charlm.prediction.scoring import evaluate_split, total_nats
from charlm.runs.checkpoint import read_checkpoint

SETTINGS = [
    *(setting.removeprefix("--set=") for setting in SMALL),
    *("training.steps=3", "ensemble.ngram_order=2", "corpus.split=[0.5,0.3,0.2]"),
]


def test_members_and_mixture_have_one_text(tmp_path: Path) -> None:
    """Those of the validation while training; the table shows both."""
    (path := tmp_path / "text").write_text("rain and snow\n" * 100 + "trains, doors\n" * 100)
    settings = [*SETTINGS, "ensemble.members=2", "training.validation_characters=600"]
    settings.append("training.validation_rows=2")
    finished = charlm.train("quickstart", text=path, runs=tmp_path, settings=settings)
    folder = finished.folder.path
    part = build_corpus(read_checkpoint(finished.folder.best).config.corpus).splits["validation"]
    losses = [
        evaluate_split(charlm.load(where).model, part, 2, characters=600).nats_per_character
        for where in (folder / "member-1", folder / "member-2", folder)
    ]
    assert [one.best_loss for one in finished.networks] == pytest.approx(losses[:2], rel=1e-6)
    assert finished.best_loss == pytest.approx(losses[2], rel=1e-6)
    first, second, both = (f"{loss:.4f}" for loss in losses)
    row = dict(_summary(finished, "character"))["validation loss"]
    assert row.startswith(f"{first}, {second} alone, {both} as an ensemble")


def test_a_network_stands_beside_its_ngrams(tmp_path: Path) -> None:
    """The table of one network with n-grams tells what the n-grams add."""
    (path := tmp_path / "text").write_text("rain and snow\n" * 100 + "trains, doors\n" * 100)
    finished = charlm.train("quickstart", text=path, runs=tmp_path, settings=SETTINGS)
    (network,) = finished.networks
    row = dict(_summary(finished, "character"))["validation loss"]
    assert row.startswith(
        f"{network.best_loss:.4f} by the network alone, {finished.best_loss:.4f} with n-grams ("
    )


@pytest.mark.parametrize(
    ("settings", "precedes"),
    [
        ([], True),
        (["corpus.validation_first=true"], False),
        (["corpus.validation_paths=VALIDATION"], False),
    ],
)
def test_mixture_is_fitted_with_true_context(
    settings: list[str], precedes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The context is the training split only if the validation split follows it."""
    (path := tmp_path / "text").write_text("rain and snow\n" * 60)
    (other := tmp_path / "other").write_text("snow and rain\n" * 20)
    given: list[int] = []

    def fit(ensemble: Ensemble, before: Any, text: Any, *limit: int) -> float:
        given.append(len(before))
        return fit_mixture(ensemble, before, text, *limit)

    monkeypatch.setattr("charlm.training.mixing.fit_mixture", fit)
    kept = [setting.replace("VALIDATION", str(other)) for setting in settings]
    charlm.train("quickstart", text=path, runs=tmp_path, settings=[*SETTINGS, *kept])
    assert given == [420 if precedes else 0]


def test_first_character_is_context() -> None:
    """Without context, the first character is read but not predicted."""
    text, networks = some_ids(5, 300).astype(np.uint8), [make_member(0), make_member(1)]
    fitted = []
    for before, rest in ((text[:0], text), (text[:1], text[1:])):
        ensemble = Ensemble(networks, 3, some_ids(7).astype(np.uint8))
        nats = fit_mixture(ensemble, before, rest)
        fitted.append((nats, ensemble.weights.tolist()))
    assert fitted[0] == fitted[1]


def counts_of(*texts: np.ndarray) -> Any:
    """Count texts apart."""
    ngrams = make_ngrams(3, SIZE)
    for text in texts:
        ngrams.count(np.concatenate([np.full(3, -1), text.astype(np.int64)]))
    return ngrams


def test_counted_texts_are_separate(tmp_path: Path) -> None:
    """Neither the n-grams that a second text adds, nor those of a checkpoint, cross the seam."""
    first, second = some_ids(1, 40).astype(np.uint8), some_ids(2, 40).astype(np.uint8)
    ensemble = Ensemble([make_member(0)], 3, first)
    ensemble.count(second)
    expected = Ensemble([make_member(0)], 3, first)
    expected.ngrams = counts_of(first, second)
    again = Ensemble([make_member(0)], 3, ensemble.tensors()["counted"].numpy())
    probe = np.concatenate([first[-3:], second[:3], some_ids(3, 60).astype(np.uint8)])
    nats = total_nats(expected, probe)
    assert total_nats(ensemble, probe) == nats
    assert total_nats(again, probe) == nats


def test_dynamic_evaluation_has_no_context(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The training text is no context of a scored text."""
    monkeypatch.setattr("charlm.prediction.adaptive_network._NUM_BATCHES", 2)
    training, text = some_ids(7).astype(np.uint8), some_ids(8, 20).astype(np.uint8)
    ensemble = Ensemble([make_member(3)], 3, training)
    seen: list[list[int]] = []
    true_mix = ensemble.ngrams.mix

    def mix(ids: np.ndarray, *rest: Any) -> Any:
        seen.append(ids[:3].tolist())
        return true_mix(ids, *rest)

    ensemble.ngrams.mix = mix  # type: ignore[method-assign, assignment]
    DynamicEvaluation(ensemble, training, Rates()).score(part_of(text))
    assert seen[0] == [-1, -1, int(text[0])]
    counts = Ensemble([make_member(3)], 3, training)
    counts.ngrams = counts_of(training, text)
    ensemble.ngrams.mix = true_mix  # type: ignore[method-assign]
    again = Ensemble([make_member(3)], 3, ensemble.tensors()["counted"].numpy())
    again.weights = counts.weights
    assert total_nats(again, text) == total_nats(counts, text)


def test_counted_ids_are_checked_on_loading(tmp_path: Path) -> None:
    (path := tmp_path / "text").write_text("rain and snow\n" * 60)
    checkpoint = read_checkpoint(
        charlm.train("quickstart", text=path, runs=tmp_path, settings=SETTINGS).folder.best
    )
    tensors = dict(checkpoint.weights)
    tensors["counted"] = torch.tensor([1, 2, -2, 1], dtype=torch.int32)
    with pytest.raises(ValueError, match="counted"):
        Ensemble.from_tensors(checkpoint.config, len(checkpoint.vocabulary), tensors)


def test_where_validation_follows_training() -> None:
    keys: list[tuple[dict[str, Any], bool]] = [
        ({}, True),
        ({"validation_first": True}, False),
        ({"validation_paths": "x"}, False),
        ({"test_paths": "x"}, False),
    ]
    for given, follows in keys:
        config = CorpusConfig.model_validate(given)
        assert config.validation_follows_training is follows
