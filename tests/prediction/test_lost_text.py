"""A text that is lost, moved or changed: what the message says can really be done."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.provenance import TINY, words
from typer.testing import CliRunner

from charlm import evaluate, load, resume, train
from charlm.cli.main import app
from charlm.errors import CorpusError

WITHOUT = (*TINY, "ensemble.ngram_order=2", "ensemble.keep_text=false")


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(CorpusError) as caught:
        action()
    return str(caught.value)


def invoke(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts in files of their own, and runs of them in `runs`; tests work on copies of these."""
    folder = tmp_path_factory.mktemp("trained")
    for number, name in enumerate(("novel.txt", "v.txt", "e.txt")):
        (folder / name).write_text(words(number, 1500), encoding="utf-8")
    files = {"validation": "v.txt", "test": "e.txt"}
    separate = [f"corpus.{part}_paths={folder / name}" for part, name in files.items()]
    for name, settings in (("sep", (*TINY, *separate)), ("one", TINY), ("bare", WITHOUT)):
        train(
            "quickstart",
            text=folder / "novel.txt",
            name=name,
            runs=folder / "runs",
            settings=settings,
        )
    return folder


@pytest.fixture
def folder(trained: Path) -> Any:
    """The same folder, whose files a test may change: they are restored afterwards."""
    copy = trained.parent / "copy"
    shutil.copytree(trained, copy)
    yield trained
    shutil.rmtree(trained)
    copy.rename(trained)


SEPARATE = [("validation", "v.txt"), ("test", "e.txt")]
RESUME = "resume the run with --set corpus.{}_paths=FILE"
EVAL = "name a copy of it with --text"


@pytest.mark.parametrize(("part", "file"), SEPARATE)
def test_a_lost_file_of_a_split_has_a_remedy(folder: Path, part: str, file: str) -> None:
    """`eval` scores a copy of it, and `train --resume` takes its new path as a setting."""
    run, lost = folder / "runs" / "sep", folder / file
    (folder / "moved").mkdir()
    lost.rename(folder / "moved" / file)
    text = folder / "novel.txt"
    actions: list[tuple[Callable[[], object], str]] = [
        (lambda: resume(run), RESUME.format(part)),
        (lambda: resume(run, text=text), RESUME.format(part)),
        (lambda: evaluate(load(run)), EVAL),
        (lambda: evaluate(load(run), text=text, split="validation"), EVAL),
        (lambda: evaluate(load(run), text=text), EVAL),
    ]
    for action, remedy in actions:
        said = refusal(action)
        assert said.startswith(f"{lost}: no such file") and said.endswith(remedy)
        assert "?," not in said
        assert ("? If not, " in said) == ("did you mean" in said)
    resume(run, settings=[f"corpus.{part}_paths={folder / 'moved' / file}"])
    assert evaluate(load(run), split="validation").nats > 0


@pytest.mark.parametrize("cache", ["cached", "new cache"])
@pytest.mark.parametrize(("part", "file"), SEPARATE)
def test_a_moved_file_of_a_split_is_scored(
    folder: Path, part: Any, file: str, cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`eval --text` recognises its content, and says which split it is."""
    run, moved = folder / "runs" / "sep", folder / f"moved-{file}"
    before = evaluate(load(run), split=part)
    (folder / file).rename(moved)
    if cache != "cached":
        monkeypatch.setenv("CHARLM_CACHE", str(folder / "empty"))
    for wanted in (None, part):
        found = evaluate(load(run), text=moved, split=wanted)
        assert (found.nats, found.overlaps) == (before.nats, before.overlaps)
        assert f"; {moved.name} is the {part} text of the run" in found.protocol
    other: Any = "test" if part == "validation" else "validation"
    assert evaluate(load(run), text=moved, split=other).nats > 0
    code, said = invoke("eval", run, "--text", moved)
    assert code == 0 and f"text {part} " in said
    code, said = invoke("eval", run, "--text", moved, "--dynamic")
    assert code == 0, "the other files are in their places"


@pytest.mark.parametrize(("part", "file"), SEPARATE)
def test_a_split_needs_no_other_file(folder: Path, part: Any, file: str) -> None:
    """All files may have moved: the text of a split is enough to score it."""
    run = folder / "runs" / "sep"
    before = evaluate(load(run), split=part).nats
    (folder / "moved").mkdir()
    for name in ("novel.txt", "v.txt", "e.txt"):
        (folder / name).rename(folder / "moved" / name)
    moved = folder / "moved" / file
    assert evaluate(load(run), text=moved, split=part).nats == before
    code, said = invoke("eval", run, "--text", moved, "--dynamic")
    assert code == 1 and said.endswith("omit --dynamic, which needs it")


@pytest.mark.parametrize(("part", "file"), SEPARATE)
def test_a_changed_file_of_a_split_is_named(folder: Path, part: str, file: str) -> None:
    """It is not the split any more: its old content is."""
    (folder / file).write_text(words(9, 1500), encoding="utf-8")
    run = folder / "runs" / "sep"
    actions: list[tuple[Callable[[], object], str]] = [
        (lambda: resume(run), RESUME.format(part)),
        (lambda: evaluate(load(run), text=folder / "novel.txt", split="validation"), EVAL),
    ]
    for action, remedy in actions:
        said = refusal(action)
        assert said.startswith(f"{folder / file}: the text has changed")
        assert said.endswith(f"restore it, or {remedy}")
    assert "of the run" not in evaluate(load(run), text=folder / file).protocol
    said = refusal(lambda: evaluate(load(run), text=folder / file, split="test"))
    assert said.startswith(f"{file} has changed since the model was trained on it; omit --split")


def test_lost_text_with_similar_names(folder: Path) -> None:
    """A question ends; what else can be done follows it."""
    (folder / "novel.txt").rename(folder / "novels.txt")
    said = refusal(lambda: evaluate(load(folder / "runs" / "one")))
    assert "did you mean" in said
    assert said.endswith("? If not, name a copy of it with --text")


def test_split_of_a_changed_text(folder: Path) -> None:
    """The user did name the training text, by its path or by a copy with more text at its end."""
    text, run = folder / "novel.txt", folder / "runs" / "one"
    text.write_text(words(0, 1500) + words(8, 300), encoding="utf-8")
    copy = shutil.copy(text, folder / "longer.txt")
    said = refusal(lambda: evaluate(load(run), text=text, split="test"))
    assert said == (
        "novel.txt has changed since the model was trained on it; omit --split to score all of it "
        "as a new text, or restore it"
    )
    said = refusal(lambda: evaluate(load(run), text=copy, split="test"))
    assert said.startswith("longer.txt repeats the training text, but differs from it; omit --")
    said = refusal(lambda: evaluate(load(run), text=folder / "e.txt", split="test"))
    assert said.startswith("--split test needs the training text, and e.txt is another text")
    assert evaluate(load(run), text=text).nats > 0


def test_eval_counts_ngrams_of_moved_text(folder: Path) -> None:
    """The n-grams of a text that has moved are counted at its new path."""
    run, lone = folder / "runs" / "bare", folder / "lone"
    shutil.copy(run / "checkpoints" / "best.safetensors", lone)
    before = evaluate(load(run)).nats
    moved = (folder / "novel.txt").rename(folder / "moved.txt")
    for place in (run, lone):
        assert evaluate(load(place, text=moved), text=moved).nats == before
        code, said = invoke("eval", place, "--text", moved)
        assert code == 0 and "is the training text" in said
        code, said = invoke("eval", place, "--text", folder / "e.txt")
        assert code == 1 and "novel.txt: no such file" in said, "another text is no place to count"
    said = refusal(lambda: load(lone))
    assert said.endswith(f"`charlm eval {lone} --text FILE`, in Python with load(…, text=FILE)")
    assert "RUN" not in said
    shutil.copytree(run / "member-1", folder / "member-1")
    assert refusal(lambda: load(lone)).endswith(f"; {folder / 'member-1'} needs no text")
    assert load(folder / "member-1").model
