"""What commands that load a run say about an ensemble whose members have trained further."""

from pathlib import Path

import pytest
from support.commands import SMALL, quickstart_on, run
from support.texts import TEXT

from charlm import resume
from charlm.training.events import Event, Mixing


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "book.txt"
    path.write_text(TEXT, "utf-8")
    return path


@pytest.fixture(scope="module")
def book(text: Path) -> Path:
    """An ensemble of two networks with 4 steps each."""
    ensemble = ("--set=ensemble.members=2", "--set=training.validate_every=2", "--name=book")
    arguments = (*quickstart_on(text, text.parent), *SMALL, *ensemble, "--set=training.steps=4")
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    return text.parent / "book"


def stop_at_mixing(event: Event) -> None:
    if isinstance(event, Mixing):
        raise KeyboardInterrupt


def test_ensemble_behind_its_members_is_named(book: Path, text: Path) -> None:
    """Each command says once which step its ensemble has, where training is, and the remedy."""
    commands = (
        ("eval", book),
        ("generate", book, "--length", 5),
        ("surprise", book, text),
        ("compare", book, book / "member-1"),
    )
    for words in commands:
        assert "training is at" not in run(*words).stderr
    with pytest.raises(KeyboardInterrupt):
        resume(book, settings=["training.steps=5"], on_event=stop_at_mixing)
    line = f"ensemble of step 8; training is at 10; `charlm train --resume {book}` rebuilds it"
    for words in commands:
        result = run(*words)
        assert result.exit_code == 0, result.output
        assert result.stderr.splitlines().count(line) == 1, result.stderr
    assert "training is at" not in run("eval", book / "member-1").stderr
    assert "training is at" not in run("eval", book, "--quiet").stderr
    resume(book)
    for words in commands:
        assert "training is at" not in run(*words).stderr


def test_an_early_best_step_is_not_behind(text: Path, tmp_path: Path) -> None:
    """An ensemble is up to date when its members' best steps come before their last ones."""
    settings = ("--set=training.learning_rate=30", "--set=training.max_rollbacks=0")
    ensemble = ("--set=ensemble.members=1", "--set=ensemble.ngram_order=2")
    limits = ("--set=training.steps=6", "--set=training.validate_every=1", "--name=book")
    done = run(*quickstart_on(text, tmp_path), *SMALL, *settings, *ensemble, *limits)
    assert done.exit_code == 0, done.output
    result = run("eval", tmp_path / "book", "--json")
    assert '"step": 6,' not in result.stdout
    assert "training is at" not in result.stderr
