"""The first lines of a training: facts are not errors, and a tiny text is announced as one."""

import re
from pathlib import Path

import pytest
from support.clocked import clock_of_steps
from support.commands import SMALL, quickstart_on, run
from support.texts import TEXT


def first_lines(text: Path, runs: Path, *limits: str) -> list[str]:
    """Return what is printed until training begins, and one more line."""
    result = run(*quickstart_on(text, runs), *SMALL, *limits)
    assert result.exit_code == 0, result.output
    lines = result.stderr.splitlines()
    (start,) = [place for place, line in enumerate(lines) if line.startswith("training in")]
    return lines[: start + 2]


@pytest.mark.parametrize("times", [1, 40])
def test_tiny_texts_are_told_at_the_start(times: int, tmp_path: Path) -> None:
    """Too few characters to measure are announced before training, once."""
    (tmp_path / "text").write_text(TEXT * times, "utf-8")
    lines = first_lines(tmp_path / "text", tmp_path, "--steps=1")
    told = [line for line in lines if "too few to measure" in line]
    assert len(told) == (1 if times == 1 else 0)
    assert all(line.startswith("test split: ") for line in told)


@pytest.mark.parametrize(("budget", "is_bare"), [("5", True), ("5s", False), ("5m", False)])
def test_a_bare_budget_is_in_seconds(budget: str, is_bare: bool, tmp_path: Path) -> None:
    """A budget without a unit is explained, once."""
    (tmp_path / "text").write_text(TEXT * 9, "utf-8")
    small = [option for option in SMALL if "budget" not in option]
    words = quickstart_on(tmp_path / "text", tmp_path)
    result = run(*words, *small, "--budget", budget, "--steps=1")
    assert result.exit_code == 0, result.output
    told = [line for line in result.stderr.splitlines() if "in minutes" in line]
    assert told == ["the budget is 5 seconds; 5m is in minutes"] * is_bare


@pytest.mark.parametrize(
    ("setting", "source"),
    [("corpus.vocabulary_from=train", "training split"), ("corpus.vocabulary_from=all", "text")],
)
def test_unknown_characters_have_a_reason(setting: str, source: str, tmp_path: Path) -> None:
    """The line of the vocabulary says what is read as the unknown symbol, and why."""
    (tmp_path / "text").write_text(TEXT * 9 + "Ω", "utf-8")
    options = ["--steps=1", "--set", setting, "--set=corpus.minimum_count=2"]
    (told,) = [
        line
        for line in first_lines(tmp_path / "text", tmp_path, *options)
        if line.startswith("text: ")
    ]
    assert re.search(r"; read as the unknown symbol: \d+ characters?, absent or too rare", told)
    assert told.endswith(f"in the {source}")


def test_how_a_text_is_read_is_no_error(tmp_path: Path) -> None:
    """Lines about encoding and line ends do not begin like an error."""
    text = "Où êtes-vous, chère élève ?\r\nÀ l’école, déjà, avec les bêtes.\r\n" * 40
    (tmp_path / "text").write_bytes(text.encode("cp1252"))
    lines = first_lines(tmp_path / "text", tmp_path, "--steps=1")
    told = [line for line in lines if "read as" in line]
    assert len(told) == 2
    assert not any(line.startswith("charlm: ") for line in told)


def test_one_line_divides_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line of the budget names what training gets; the start names only other limits."""
    clock_of_steps(monkeypatch)  # a slow start would get another line
    (tmp_path / "text").write_text(TEXT * 4, "utf-8")
    *_, start, time = first_lines(tmp_path / "text", tmp_path, "--set=training.budget=2s")
    assert time.startswith("time: of 2s, ")
    assert "at most" not in start
    *_, start, time = first_lines(
        tmp_path / "text", tmp_path, "--steps=2", "--set=training.budget=2s"
    )
    assert time.startswith("time: of 2s, ")
    assert start.endswith("for at most 2 steps, or 2s if that is sooner")
