"""A run records the encodings that it has recognised, and reads its text in them again."""

from pathlib import Path

import pytest
from support.languages import SENTENCES
from support.training import assert_same_weights, train

import charlm
from charlm.corpus import text_files
from charlm.runs.checkpoint import read_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore::charlm.errors.CorpusWarning")


def test_a_run_records_encodings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another verdict on the same file, such as of a later version, changes no run."""
    path = tmp_path / "novel.txt"
    path.write_bytes((SENTENCES["Czech"] * 30).encode("cp1250"))
    recorded = {str(path): "cp1250"}
    run = train(path, tmp_path, "training.steps=2", "training.schedule=constant")
    assert run.read_config().corpus.encodings == recorded
    assert read_checkpoint(run.best).config.corpus.encodings == recorded
    whole = train(path, tmp_path, "training.steps=4", "training.schedule=constant", name="whole")

    monkeypatch.setattr(text_files, "recognised_encoding", lambda *_: "iso8859-2")
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "empty-cache"))
    charlm.resume(run.path, settings=["training.steps=4"])
    assert_same_weights(run.last, whole.last)
    score = charlm.evaluate(charlm.load(run.path))
    assert score.unknown_characters == 0

    path.write_bytes((SENTENCES["Czech"] * 31).encode("cp1250"))
    grown = charlm.evaluate(charlm.load(run.path), text=path)
    assert grown.unknown_characters == 0
    assert grown.characters == len(SENTENCES["Czech"] * 31) - 1


def test_an_ensemble_records_encodings(tmp_path: Path) -> None:
    """The config of an ensemble has them, and that of each member."""
    path = tmp_path / "novel.txt"
    path.write_bytes((SENTENCES["Russian"] * 30).encode("koi8-r"))
    run = train(path, tmp_path, "training.steps=2", "ensemble.members=2")
    recorded = {str(path): "koi8-r"}
    assert run.read_config().corpus.encodings == recorded
    for checkpoint in run.path.rglob("best.safetensors"):
        assert read_checkpoint(checkpoint).config.corpus.encodings == recorded
    charlm.resume(run.path, settings=["training.steps=3"])
