"""The text in the checkpoint of an ensemble: said, and left out where that is asked for."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.provenance import TINY, words
from typer.testing import CliRunner

from charlm import evaluate, generate, load, resume, train
from charlm.cli.main import app
from charlm.errors import CorpusError
from charlm.models.ensemble import Ensemble
from charlm.prediction import ngram_text
from charlm.runs.checkpoint import read_checkpoint
from charlm.runs.folder import RunFolder

NGRAMS = (*TINY, "ensemble.ngram_order=2")
WITHOUT = (*NGRAMS, "ensemble.keep_text=false")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text, and a run of it with the text in its checkpoint; and the same, freed of it later."""
    folder = tmp_path_factory.mktemp("kept")
    (folder / "o.txt").write_text(words(1), encoding="utf-8")
    (folder / "other.txt").write_text(words(2, 500), encoding="utf-8")
    train("quickstart", text=folder / "o.txt", name="with", runs=folder, settings=NGRAMS)
    shutil.copytree(folder / "with", folder / "without")  # to train twice may differ in a bit
    resume(folder / "without", settings=["ensemble.keep_text=false"])
    return folder


def holds_text(checkpoint: Path, text: str) -> bool:
    """Say whether a run of 30 characters of a text stands in a checkpoint, as ids of any width."""
    about, data = read_checkpoint(checkpoint), checkpoint.read_bytes()
    ids = about.vocabulary.encode_text(text[100:130], "map")
    widths = (np.uint8, np.uint16, np.int32, np.int64)
    return text[100:130].encode() in data or any(ids.astype(w).tobytes() in data for w in widths)


def invoke(*arguments: object) -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    return result.output


def test_stored_text_is_reported(folder: Path, tmp_path: Path) -> None:
    """Training, `eval` and `generate` say how much text a checkpoint contains, if it contains any.

    A run without n-grams, or without their text, says nothing; neither does `--quiet`.
    """
    for settings, says in ((NGRAMS, True), (WITHOUT, False), (TINY, False)):
        name = f"run-{len(settings)}"
        options = [option for setting in settings for option in ("--set", setting)]
        options += ["--runs", str(tmp_path), "--name", name]
        shown = invoke("train", "quickstart", "--text", folder / "o.txt", *options)
        said = "contains 2,700 characters of the training text"
        assert (said in " ".join(shown.split())) is says
        member = f"`charlm generate {tmp_path / name / 'member-1'}` uses a network without them"
        assert (member in " ".join(shown.split())) is says
        for command in ("eval", "generate"):
            used = "(contains 2,700 characters of its training text)"
            assert (used in invoke(command, tmp_path / name)) is says
            assert used not in invoke(command, tmp_path / name, "--quiet")


@pytest.mark.parametrize("order", ["2", "null"])
def test_only_reported_text_is_stored(tmp_path: Path, order: str) -> None:
    """Without n-grams two networks keep counts of characters, but not the text."""
    text = tmp_path / "o.txt"
    text.write_text(words(1), encoding="utf-8")
    settings = (*TINY, "ensemble.members=2", f"ensemble.ngram_order={order}")
    finished = train("quickstart", text=text, name="run", runs=tmp_path, settings=settings)
    is_kept = finished.kept_characters > 0
    assert is_kept is (order == "2")
    assert holds_text(finished.folder.best, words(1)) is is_kept


def test_model_is_the_same_without_text(folder: Path) -> None:
    """N-grams are counted again; the checkpoint holds no passage of the text."""
    assert not holds_text(RunFolder(folder / "without").best, words(1))
    kept, without = load(folder / "with"), load(folder / "without")
    assert evaluate(kept).nats == evaluate(without).nats
    texts = ["".join(generate(one, "a", seed=1, length=20)) for one in (kept, without)]
    assert texts[0] == texts[1]


def test_all_that_was_counted_is_counted_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint says how much was counted, whatever the machine that loads it would count."""
    monkeypatch.setattr(ngram_text, "physical_memory", lambda: 100_000)  # 1,000 characters
    train("quickstart", text=folder / "o.txt", name="run", runs=tmp_path, settings=WITHOUT)
    for run, counted in ((tmp_path / "run", 1000), (folder / "without", 2700)):
        model = load(run).model
        assert isinstance(model, Ensemble)
        assert len(model.counted) == counted


def test_lost_text_names_members(tmp_path: Path) -> None:
    """The error for a missing text names the members, which need no text."""
    text = tmp_path / "o.txt"
    text.write_text(words(3), encoding="utf-8")
    train("quickstart", text=text, name="run", runs=tmp_path, settings=WITHOUT)
    before = evaluate(load(tmp_path / "run")).nats
    text.rename(tmp_path / "moved.txt")
    run = tmp_path / "run"
    with pytest.raises(CorpusError, match=rf"{text}.* {run} --text FILE`; {run}/member-1 needs no"):
        load(run)
    assert load(run / "member-1").model
    resume(run, text=tmp_path / "moved.txt")
    assert evaluate(load(run)).nats == before


@pytest.mark.parametrize("what", ["test", "other"])
def test_adapted_text_is_counted_again(
    folder: Path, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that was saved by `eval --dynamic --save` is the same with and without the text."""
    monkeypatch.setattr("charlm.prediction.adaptive_network._NUM_BATCHES", 2)
    where = ["--text", folder / "other.txt"] if what == "other" else []
    found: list[Any] = []
    for run in ("with", "without"):
        saved = tmp_path / run
        shown = invoke("eval", folder / run, "--dynamic", "--save", saved, *where)
        said = "characters of the training text and of what it has learnt from here"
        assert (said in " ".join(shown.split())) is (run == "with")
        found.append(load(saved))
        followed = words(2, 500) if what == "other" else words(1)[2850:]
        assert holds_text(saved, words(1)) is holds_text(saved, followed) is (run == "with")
    models = [one.model for one in found]
    assert all(isinstance(model, Ensemble) for model in models)
    np.testing.assert_array_equal(models[0].counted, models[1].counted)
    assert (
        evaluate(found[0], split="validation").nats == evaluate(found[1], split="validation").nats
    )


def test_adapted_text_is_counted_in_memory(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`eval --dynamic --save` does not read its file to report the text in it."""
    monkeypatch.setattr("charlm.prediction.adaptive_network._NUM_BATCHES", 2)
    written: list[Path] = []
    write: Any = lambda path, checkpoint, *, is_new: written.append(path)  # noqa: E731
    monkeypatch.setattr("charlm.prediction.evaluation.write_checkpoint", write)
    saved = tmp_path / "saved"
    shown = invoke("eval", folder / "with", "--dynamic", "--save", saved)
    assert written == [saved]
    assert f"{saved} contains 3,000 characters" in " ".join(shown.split())


def test_a_machine_counts_what_its_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A character takes 50 bytes, and counts half of the memory; without kernels it is slow."""
    monkeypatch.setattr(ngram_text, "library", object)
    for gibibytes, counted in ((1, 10_737_418), (64, 100_000_000), (None, 85_899_345)):
        memory = None if gibibytes is None else gibibytes << 30
        monkeypatch.setattr(ngram_text, "physical_memory", lambda memory=memory: memory)
        assert ngram_text.most_counted() == counted
    monkeypatch.setattr(ngram_text, "library", lambda: None)
    assert ngram_text.most_counted() == 4_000_000
