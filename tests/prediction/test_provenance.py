"""What a model has seen of a text is said with every score of it, by content and not by path."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.provenance import TINY, words
from typer.testing import CliRunner

from charlm import evaluate, load, resume, train
from charlm.cli.main import app
from charlm.corpus.overlaps import Overlap, caveats
from charlm.errors import CorpusError
from charlm.prediction.perplexity import Score
from charlm.training.events import Event, Started

WHOLE = (*TINY, "corpus.split=[1, 0, 0]")
BIASED = "biased score: "


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text, a copy of it, another text; a run of the first and one that learnt all of it."""
    folder = tmp_path_factory.mktemp("provenance")
    for name, text in {
        "o.txt": words(1),
        "copy.txt": words(1),
        "other.txt": words(2, 1000),
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
    begin(folder, "run")
    begin(folder, "all", settings=WHOLE)
    return folder


def begin(folder: Path, name: str, text: str = "o.txt", settings: tuple[str, ...] = TINY) -> str:
    """Train a run, and return the protocol of its final score."""
    finished = train(
        "quickstart", text=folder / text, name=name, runs=folder / "runs", settings=settings
    )
    return finished.protocol


def score(folder: Path, run: str, **about: Any) -> Score:
    """Score a run, or a checkpoint file."""
    place = folder / "runs" / run
    return evaluate(load(place if place.exists() else folder / run), **about)


def test_held_out_split_has_no_warning(folder: Path) -> None:
    """A held-out split is scored without a warning."""
    found = score(folder, "run")
    assert found.overlaps == ()
    assert found.protocol == "exact: state carried through the whole text"
    assert score(folder, "run", text=folder / "other.txt").overlaps == ()


@pytest.mark.parametrize("place", ["o.txt", "../{}/o.txt", "copy.txt"])
def test_copy_of_training_text(folder: Path, place: str) -> None:
    """The part that is meant is scored, whatever the path is, and `--split` may name another."""
    text = folder / place.format(folder.name)
    found, own = score(folder, "run", text=text), score(folder, "run")
    assert (found.nats, found.characters) == (own.nats, own.characters)
    assert f"{text.name} is the training text: its test split is scored" in found.protocol
    validation = score(folder, "run", text=text, split="validation")
    assert validation.nats == score(folder, "run", split="validation").nats


def test_moved_text_is_scored(tmp_path: Path) -> None:
    """A training text that has moved is scored at its new path."""
    (tmp_path / "o.txt").write_text(words(3), encoding="utf-8")
    begin(tmp_path, "run")
    before = score(tmp_path, "run")
    shutil.move(tmp_path / "o.txt", tmp_path / "moved.txt")
    with pytest.raises(CorpusError, match="with --text"):
        score(tmp_path, "run")
    assert score(tmp_path, "run", text=tmp_path / "moved.txt").nats == before.nats


def test_separate_files_are_separate_texts(tmp_path: Path) -> None:
    """The validation file was chosen on; the test file is new; the training file names the run."""
    for number, name in enumerate(("train", "validation", "test")):
        (tmp_path / name).write_text(words(number, 1000), encoding="utf-8")
    paths = tuple(f"corpus.{name}_paths={tmp_path / name}" for name in ("validation", "test"))
    begin(tmp_path, "run", "train", (*TINY, *paths))
    said = {
        name: score(tmp_path, "run", text=tmp_path / name).protocol.partition("text")[2]
        for name in ("train", "validation", "test")
    }
    chosen = "; the checkpoint was selected on all of it (validation)"
    assert said["validation"] == f"; validation is the validation text of the run{chosen}"
    assert said["test"] == "; test is the test text of the run"
    assert said["train"] == "; train is the training text: its test split is scored"


def test_a_part_of_another_text_is_refused(folder: Path) -> None:
    with pytest.raises(CorpusError, match=r"other\.txt is another text; omit --split"):
        score(folder, "run", text=folder / "other.txt", split="train")


def test_changed_text_reports_overlap(folder: Path) -> None:
    """Of an edited and longer text, the share that was learnt from is estimated by its passages."""
    text = "A new first line.\n" + words(1) + words(4, 700)
    (folder / "changed.txt").write_text(text, encoding="utf-8")
    found = score(folder, "run", text=folder / "changed.txt")
    assert found.characters == len(text) - 1
    (overlap,) = found.overlaps
    assert (overlap.use, overlap.name) == ("learnt from", "o.txt")
    assert overlap.share == pytest.approx(2700 / len(text), abs=0.02)
    assert f"{BIASED}the model was trained on about 7" in found.protocol
    assert found.protocol.endswith(" % of it (o.txt)")


def test_passage_is_found_in_another_file(folder: Path) -> None:
    """A passage of the training text is recognised in another file."""
    (folder / "piece.txt").write_text(words(1)[1000:1200], encoding="utf-8")
    (overlap,) = score(folder, "run", text=folder / "piece.txt").overlaps
    assert overlap.share == 1
    (folder / "short.txt").write_text(words(1)[1000:1020], encoding="utf-8")
    assert score(folder, "run", text=folder / "short.txt").overlaps == ()


def test_use_of_each_split_is_reported(folder: Path) -> None:
    """A score reports which split was trained on and which was selected on."""
    trained = score(folder, "run", split="train").protocol
    assert trained.endswith(f"; {BIASED}the model was trained on all of it (o.txt)")
    chosen = score(folder, "run", split="validation").protocol
    assert chosen.endswith("; the checkpoint was selected on all of it (o.txt)")


def test_no_held_out_split_is_reported(folder: Path) -> None:
    """A run without a held-out split scores its text and reports it."""
    found = score(folder, "all", text=folder / "copy.txt")
    assert found.characters == len(words(1)) - 1
    assert f"{BIASED}the model was trained on all of it (o.txt)" in found.protocol


def test_teacher_trained_on_test_is_reported(folder: Path) -> None:
    """At the end of training, at each score, and of a student of the student."""
    runs = folder / "runs"
    taught = (*TINY, f"training.teachers={runs / 'all'}")
    said = f"{BIASED}a teacher was trained on all of it (o.txt)"
    assert said in begin(folder, "student", "copy.txt", taught)
    assert said in score(folder, "student").protocol
    taught = (*TINY, f"training.teachers={runs / 'student'}")
    assert said in begin(folder, "grandchild", settings=taught)


@pytest.mark.parametrize(("other", "is_said"), [("all", True), ("run", False)])
def test_leak_is_reported_before_training(folder: Path, other: str, is_said: bool) -> None:
    """A teacher of the same split has nothing to warn of."""
    said: list[str] = []

    def note(event: Event) -> None:
        said.extend(event.warnings if isinstance(event, Started) else ())

    settings = (*TINY, f"training.teachers={folder / 'runs' / other}")
    train(
        "quickstart", text=folder / "o.txt", runs=folder / "runs", settings=settings, on_event=note
    )
    why = f"{BIASED}a teacher was trained on all of it (o.txt)"
    expected = [f"the {name} split: {why}" for name in ("validation", "test")]
    assert said == (expected if is_said else [])


def test_teacher_is_not_reported_twice(folder: Path) -> None:
    """What a model has seen itself is not reported for its teacher, too."""
    settings = (*TINY, f"training.teachers={folder / 'runs' / 'run'}")
    begin(folder, "same", settings=settings)
    for part in ("train", "validation"):
        assert (
            score(folder, "same", split=part).protocol == score(folder, "run", split=part).protocol
        )


def test_initial_model_is_reported(folder: Path) -> None:
    """The text of the initial model is reported."""
    started = (*TINY, f"training.start_from={folder / 'runs' / 'all'}")
    said = f"{BIASED}the initial model was trained on all of it (o.txt)"
    assert said in begin(folder, "tuned", settings=started)
    assert score(folder, "tuned").protocol.endswith(said)


def test_resuming_keeps_provenance(tmp_path: Path) -> None:
    """Records are kept when a run is resumed without its initial model."""
    (tmp_path / "o.txt").write_text(words(3), encoding="utf-8")
    begin(tmp_path, "all", settings=WHOLE)
    begin(tmp_path, "tuned", settings=(*TINY, f"training.start_from={tmp_path / 'runs' / 'all'}"))
    shutil.rmtree(tmp_path / "runs" / "all")
    finished = resume(tmp_path / "runs" / "tuned", settings=["training.steps=4"])
    assert finished.step == 4
    assert "the initial model was trained on all of it" in finished.protocol


def test_ensemble_has_records_of_members(folder: Path) -> None:
    """An ensemble has the records of its members."""
    settings = (*TINY, "ensemble.members=2", "ensemble.ngram_order=2")
    assert begin(folder, "two", settings=settings) == "exact: state carried through the whole text"
    assert BIASED in score(folder, "two", split="train").protocol
    fitted = score(folder, "two", split="validation").protocol
    assert fitted.endswith("; the mixture was fitted on all of it (o.txt)")
    assert len(load(folder / "runs" / "two").checkpoint.provenance) == 2  # type: ignore[union-attr]


def test_adaptation_is_reported_later(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So it is under another path, and of a run that starts from the model or learns from it."""
    adapted = folder / "adapted.safetensors"
    command = ["eval", str(folder / "runs" / "run"), "--dynamic", "--text", "./other.txt"]
    monkeypatch.chdir(folder)
    monkeypatch.setattr("charlm.prediction.adaptive_network._NUM_BATCHES", 2)
    assert CliRunner().invoke(app, [*command, "--save", str(adapted)]).exit_code == 0
    shutil.copy(folder / "other.txt", folder / "another.txt")
    said = "was adapted to all of it (other.txt)"
    for text in ("other.txt", "./other.txt", "another.txt"):
        assert f"{BIASED}the model {said}" in score(folder, adapted.name, text=text).protocol
    assert "was also adapted to other.txt" in score(folder, adapted.name).protocol
    for key, who in (("start_from", "the initial model"), ("teachers", "a teacher")):
        begin(folder, key, settings=(*TINY, f"training.{key}={adapted}"))
        assert f"{BIASED}{who} {said}" in score(folder, key, text="another.txt").protocol


def test_programs_read_the_overlaps(folder: Path) -> None:
    command = ["eval", str(folder / "runs" / "all"), "--text", str(folder / "copy.txt"), "--json"]
    shown = json.loads(CliRunner().invoke(app, command).stdout)
    (overlap,) = shown["overlaps"]
    assert overlap == {
        "text": "o.txt",
        "use": "learnt from",
        "through": "",
        "share": 1.0,
        "passages_compared": None,
        "is_repetition": False,
    }
    assert BIASED in shown["protocol"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (words(5) * 2, f"{BIASED}about 100 %"),
        (words(5, 3800) + words(5, 3800)[:100] + words(6, 100), "about 34 %"),
    ],
)
def test_repetition_is_reported(tmp_path: Path, text: str, said: str) -> None:
    """It was held out, but its score is still biased; where only some of it repeats, it is fair."""
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    protocol = begin(tmp_path, "run", "text.txt")
    assert protocol.endswith(
        f"text; {said} of it repeats text that the model was trained on (text.txt)"
    )


def test_bias_is_reported_once() -> None:
    """Each record that biases it is still named."""
    learnt = [
        Overlap(name, "learnt from", "", 1.0, None, is_repetition=False) for name in ("a", "b")
    ]
    assert caveats([], learnt) == (
        f"; {BIASED}the model was trained on all of it (a); the model was trained on all of it (b)"
    )
