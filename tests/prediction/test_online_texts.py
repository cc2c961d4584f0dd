"""What a model reads before the text that it scores while learning from it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.provenance import TINY, words

from charlm import load, train
from charlm.models.ensemble import Ensemble
from charlm.prediction import dynamic, evaluation
from charlm.prediction.evaluation import Evaluation, evaluate_dynamically
from charlm.runs.checkpoint import read_checkpoint

AFTER_VALIDATION = "as the validation split before it"
NGRAMS = (*TINY, "ensemble.ngram_order=2")


@pytest.fixture(autouse=True)
def _short_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charlm.prediction.adaptive_network._NUM_BATCHES", 2)
    monkeypatch.setattr(dynamic, "_TRIAL_CHARACTERS", 100)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts, and runs: one of a text with three splits, and two with separate files."""
    folder = tmp_path_factory.mktemp("online")
    for number, name in enumerate(("text", "validation", "test")):
        (folder / f"{name}.txt").write_text(words(number, 2000), encoding="utf-8")
    for run, validation in (("splits", None), ("files", "validation"), ("same", "test")):
        settings = list(NGRAMS)
        if validation is not None:
            settings += [
                f"corpus.validation_paths=['{folder / validation}.txt']",
                f"corpus.test_paths=['{folder / 'test'}.txt']",
            ]
        text = folder / "text.txt"
        train("quickstart", text=text, name=run, runs=folder, settings=settings)
    return folder


def scored(path: Path, **options: Any) -> Evaluation:
    return evaluate_dynamically(load(path), **options)


def test_validation_is_read_before_test_only(folder: Path) -> None:
    for run in ("splits", "files"):
        test = scored(folder / run)
        assert AFTER_VALIDATION in test.score.protocol
        assert test.score.characters == (99 if run == "splits" else 1999)
        assert AFTER_VALIDATION not in scored(folder / run, split="validation").score.protocol
        assert AFTER_VALIDATION not in scored(folder / run, split="train").score.protocol
    other = folder / "other.txt"
    other.write_text(words(9, 300), encoding="utf-8")
    assert AFTER_VALIDATION not in scored(folder / "splits", text=other).score.protocol


def test_copied_test_file_is_the_test_split(folder: Path) -> None:
    copy = folder / "copy.txt"
    copy.write_bytes((folder / "test.txt").read_bytes())
    expected = scored(folder / "files").score
    for text in (folder / "test.txt", copy):
        score = scored(folder / "files", text=text).score
        assert (score.nats, score.method) == (expected.nats, expected.method)


def test_no_text_is_learnt_before_its_score(folder: Path) -> None:
    """The validation split of this run is its test split, too."""
    evaluated = scored(folder / "same")
    assert AFTER_VALIDATION not in evaluated.score.protocol
    rates = dynamic.Rates()
    assert f"rate {rates.learning:g}" in evaluated.score.protocol  # not fitted on that text


def test_a_saved_model_says_what_it_has_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the end of the validation split is read, and not again by the saved model."""
    monkeypatch.setattr(evaluation, "_VALIDATION_CHARACTERS", 50)
    saved = tmp_path / "saved.safetensors"
    scored(folder / "splits", save=saved)
    followed = [one for one in read_checkpoint(saved).provenance if one.use == "followed"]
    assert [(one.start, one.end) for one in followed] == [(1850, 1900), (1900, 2000)]
    model = load(saved).model
    assert isinstance(model, Ensemble)
    splits = load(folder / "splits").model
    assert isinstance(splits, Ensemble)
    assert len(model.counted) == len(splits.counted) + 1 + 50 + 1 + 100
    assert AFTER_VALIDATION not in scored(saved).score.protocol


def test_same_counts_without_kept_text(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "_VALIDATION_CHARACTERS", 50)
    settings = [*NGRAMS, "ensemble.keep_text=false"]
    train("quickstart", text=folder / "text.txt", name="without", runs=tmp_path, settings=settings)
    counted = []
    for number, run in enumerate((folder / "splits", tmp_path / "without")):
        scored(run, save=tmp_path / f"{number}.safetensors")
        model = load(tmp_path / f"{number}.safetensors").model
        assert isinstance(model, Ensemble)
        counted.append(model.counted)
    np.testing.assert_array_equal(counted[0], counted[1])
