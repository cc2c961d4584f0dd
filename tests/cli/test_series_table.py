"""The table of a series of runs, in terminals of several widths."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.screens import Screen

from charlm.cli.next_commands import series_commands
from charlm.cli.series_table import show_series
from charlm.config.schema import Config
from charlm.corpus.corpus import Origin
from charlm.prediction.perplexity import Score
from charlm.runs.folder import RunFolder
from charlm.training.events import Finished
from charlm.training.series_plan import SeriesRun
from charlm.training.series_results import RunResult, SeriesFinished

STEM = "a-novel-of-the-last-century-by-nobody"
PROTOCOL = "exact: state carried through the whole text; scored on 20,000 of 80,000 characters"


def finished(stem: str) -> SeriesFinished:
    """Return the results of two cells with two seeds."""
    results = []
    for number in range(4):
        cell, seed = ("gru", "lstm")[number // 2], number % 2
        path = Path("runs") / f"{stem}-cell-{cell}-s{seed}"
        config = Config().replace(training={"seed": seed})
        score = Score(26_000.0 + 100 * number, 20_000, 20_000, 0, PROTOCOL, origin=Origin("x", 0))
        end = Finished(
            RunFolder(path),
            step=12_000,
            epochs=3.0,
            characters=9_000,
            seconds=60.0,
            num_parameters=10_000,
            training_loss=1.0,
            best_step=11_000,
            best_loss=score.nats_per_character,
            held_out=("test", score),
            protocol=PROTOCOL,
            sample="",
            validation=score,
        )
        run = SeriesRun(path, (("model.cell", cell),), config, ())
        results.append(RunResult(run, end))
    return SeriesFinished(tuple(results))


def lines_of(event: SeriesFinished, width: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the lines that a terminal of this width receives."""
    screen = Screen()
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", screen)
    show_series(event)
    return re.sub(r"\x1b\[[\d;]*m", "", screen.written).splitlines()


@pytest.mark.parametrize("stem", ["novel", STEM])
@pytest.mark.parametrize("width", [200, 120, 100, 80, 60])
def test_the_table_fits_the_terminal(
    width: int, stem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At any usual width no heading, name or figure is broken, and each line fits."""
    lines = lines_of(finished(stem), width, monkeypatch)
    assert max(map(len, lines)) < width, lines
    words = [line.split() for line in lines]
    for number in range(4):
        cell, seed = ("gru", "lstm")[number // 2], number % 2
        name = f"{stem}-cell-{cell}-s{seed}"
        (row,) = [i for i, line in enumerate(words) if line[:1] == [name]]
        figures = words[row] if len(words[row]) > 1 else words[row + 1]
        perplexity = finished(stem).results[number].score
        assert perplexity and f"{perplexity.perplexity:.4f}" in figures
        assert "12,000" in figures
    headings = {word for line in words[:3] for word in line}
    assert {"steps", "validation", "test", "perplexity"} <= headings
    assert not any("…" in line for line in lines)
    assert " ".join(lines).count("mean of 2 seeds") == 2


def test_a_wide_table_has_all_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns are left out only where they do not fit."""
    heading = lines_of(finished("novel"), 200, monkeypatch)[0]
    columns = "run cell seed steps validation perplexity test perplexity bits per character"
    assert heading.split() == columns.split()


def test_a_protocol_is_wrapped_at_words(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of(finished("novel"), 60, monkeypatch)
    first = next(number for number, line in enumerate(lines) if line.startswith("protocol: "))
    assert f"protocol: {PROTOCOL}" in " ".join(lines[first:])


def test_chosen_sizes_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where charlm chose other sizes for other values, a line lists them."""
    alike = finished("novel")
    sized = [replace(r, hidden_size=64 + 32 * (i // 2)) for i, r in enumerate(alike.results)]
    chosen = SeriesFinished(tuple(sized), is_chosen=True)
    line = "sizes differ: charlm chose 1 network of 64 units with model.cell=gru, 1 network of 96"
    for event, is_told in (
        (chosen, True),
        (alike, False),
        (replace(chosen, is_chosen=False), False),
    ):
        lines = lines_of(event, 200, monkeypatch)
        assert any(one.startswith(line) for one in lines) is is_told


def test_seeds_have_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of one chosen size need no line."""
    sized = [replace(result, hidden_size=64) for result in finished("novel").results]
    event = SeriesFinished(tuple(sized), is_chosen=True)
    assert not any("sizes differ" in line for line in lines_of(event, 200, monkeypatch))


@pytest.mark.parametrize(("step", "is_said"), [(9_000, True), (10_500, False)])
def test_unequal_steps_of_a_mean_are_said(
    step: int, is_said: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mean of runs whose steps differ by more than 20 % says so; other settings do not count."""
    first, *others = finished("x").results
    assert first.finished is not None
    shorter = replace(first, finished=replace(first.finished, step=step))
    lines = lines_of(SeriesFinished((shorter, *others)), 120, monkeypatch)
    line = "unequal steps: the mean of 2 seeds is of runs of 9,000 to 12,000 steps"
    assert [one for one in lines if "unequal" in one] == ([line] if is_said else [])


def test_no_best_run_has_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where scores are not comparable, a line says why, and one command is the next step."""
    first, *others = finished("x").results
    assert first.finished is not None and first.score is not None
    elsewhere = replace(first.score, origin=Origin("y", 0))
    moved = replace(first, finished=replace(first.finished, held_out=("test", elsewhere)))
    event = SeriesFinished((moved, *others))
    lines = lines_of(event, 120, monkeypatch)
    reason = "no run is the best: the runs are scored on different texts, or on one text read in"
    assert sum(line.startswith(reason) for line in lines) == 1
    (command,) = [line for line in lines if "charlm " in line]
    assert command.split()[:2] == ["charlm", "eval"]
    assert series_commands(event) == []
    assert not any("best (lowest" in line for line in lines)
