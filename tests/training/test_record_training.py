"""Training on records: from the file to a score that the order of the file does not change."""

import math
from pathlib import Path

import numpy as np
import pytest
from support.training import (
    PowerLossError,
    assert_same_state,
    assert_same_weights,
    crash_at,
    losses,
    train,
)

import charlm
from charlm.corpus.builder import build_corpus
from charlm.prediction.evaluation import evaluate
from charlm.prediction.predictor import load
from charlm.prediction.text_score import score_text
from charlm.runs.folder import RunFolder

SETTINGS = (
    "corpus.records=lines",
    "corpus.split=[0.7,0.15,0.15]",
    "training.steps=14",
    "training.validate_every=5",
    "training.save_every=2",
    "model.dropout=0.2",
)


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list of 90 different names."""
    path = tmp_path_factory.mktemp("names") / "names.txt"
    random = np.random.default_rng(0)
    drawn = ("".join(random.choice(list("abcde"), random.integers(3, 9))) for _ in range(120))
    path.write_text("\n".join([*dict.fromkeys(drawn)][:90]) + "\n")
    return path


@pytest.fixture(scope="module", params=["random", "sequential"])
def run(
    request: pytest.FixtureRequest, names: Path, tmp_path_factory: pytest.TempPathFactory
) -> RunFolder:
    folder = tmp_path_factory.mktemp(request.param)
    return train(names, folder, *SETTINGS, f"batches.sampling={request.param}", name="run")


@pytest.mark.parametrize("step", [3, 9])
def test_a_resumed_run_is_the_same(run: RunFolder, names: Path, step: int, tmp_path: Path) -> None:
    """A run of records that stops within an epoch and is resumed is the same, bit for bit."""
    sampling = f"batches.sampling={run.read_config().batches.sampling}"
    with pytest.raises(PowerLossError):
        train(names, tmp_path, *SETTINGS, sampling, name="run", on_event=crash_at(step))
    stopped = RunFolder(tmp_path / "run")
    charlm.resume(stopped.path)
    assert losses(stopped) == losses(run)
    assert_same_state(stopped.last, run.last)
    assert_same_weights(stopped.best, run.best)


def test_the_file_may_be_shuffled(run: RunFolder, tmp_path: Path) -> None:
    """The score of the test split is that of the same records in any order, to the last digits."""
    predictor = load(run.path)
    score = evaluate(predictor)
    assert score.records
    assert score.protocol == "exact: each record from a new state, its end included"
    split = build_corpus(predictor.config.corpus).splits["test"]
    shuffled = tmp_path / "shuffled.txt"
    shuffled.write_text("\n".join(sorted(predictor.vocabulary.decode(split.ids).split())))
    again = evaluate(predictor, text=shuffled)
    assert again.nats == pytest.approx(score.nats, rel=1e-6)
    assert again.to_json()["records"] == score.records
    typed = score_text(predictor, shuffled.read_text() + "\n")
    assert sum(typed.bits) == pytest.approx(score.nats / math.log(2), rel=1e-5)
    assert typed.bits_per_character == pytest.approx(score.bits_per_character, rel=1e-5)
