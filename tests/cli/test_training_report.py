"""The report at the end of a training: written beside the run, and never at its cost."""

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from support.commands import SMALL, quickstart_on, run, train
from support.training import TINY

import charlm
from charlm.errors import CharlmError
from charlm.pages import report
from charlm.runs.folder import RunFolder
from charlm.runs.starts import read_starts
from charlm.training.events import Started, Stepped

WITH_REPORT = [*SMALL, "--set=training.report=true"]


def test_a_training_ends_with_a_report(text_file: Path, tmp_path: Path) -> None:
    """Its path is in the table; the page has the result, which is stored after it."""
    result = run(*quickstart_on(text_file, tmp_path), "--steps", "4", "--name", "one", *WITH_REPORT)
    assert result.exit_code == 0, result.output
    page = tmp_path / "one" / "report.html"
    assert f"report               {page}".split() in [
        line.split() for line in result.stdout.splitlines()
    ]
    assert result.stdout.splitlines()[-1] == str(tmp_path / "one")
    text = page.read_text("utf-8")
    assert "finished" in text
    assert "test split of" in text


def test_a_resumed_run_has_a_new_report(text_file: Path, tmp_path: Path) -> None:
    folder = train(text_file, tmp_path, "--set=training.report=true")
    result = run("train", "--resume", folder, "--set", "training.steps=7")
    assert result.exit_code == 0, result.output
    assert "7 steps" in (folder / "report.html").read_text("utf-8")


def test_python_gets_a_report_too(text_file: Path, tmp_path: Path) -> None:
    """`charlm.train` and `resume` return its path, and so does their last event."""
    settings = [*TINY, "training.steps=2", "training.report=true"]
    events: list[Any] = []
    options: dict[str, Any] = {"runs": tmp_path, "name": "one", "on_event": events.append}
    finished = charlm.train("quickstart", text=text_file, settings=settings, **options)
    assert finished.report == tmp_path / "one" / "report.html"
    assert events[-1] == finished
    page = finished.report.read_text("utf-8")
    assert "finished" in page
    longer = charlm.resume(finished.run, settings=["training.steps=3"])
    assert longer.report == finished.report
    assert finished.report.read_text("utf-8") != page


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
@pytest.mark.parametrize("ensemble", [(), ("ensemble.members=2",)])
def test_a_stopped_run_has_a_report(
    text_file: Path, tmp_path: Path, ensemble: tuple[str, ...]
) -> None:
    """It has the steps so far, and says that the run is stopped, not that it is in training."""
    settings = [*TINY, "training.steps=9", "training.report=true", *ensemble]
    options: dict[str, Any] = {"settings": settings, "runs": tmp_path, "name": "one"}
    with pytest.raises(KeyboardInterrupt):
        charlm.train("quickstart", text=text_file, on_event=_interrupt_at(3), **options)
    page = (tmp_path / "one" / "report.html").read_text("utf-8")
    assert "<td><bdi>stopped</bdi></td>" in page
    assert "<td><bdi>3 steps, " in page
    assert "is in training" not in page


def _interrupt_at(step: int) -> Any:
    def on_event(event: object) -> None:
        if isinstance(event, Stepped) and event.step.step == step:
            signal.raise_signal(signal.SIGINT)

    return on_event


def test_python_warns_of_a_failing_report(text_file: Path, tmp_path: Path) -> None:
    settings = [*TINY, "training.steps=2", "training.report=true"]

    def occupy(event: object) -> None:
        if isinstance(event, Started):
            (event.folder.path / "report.html").write_text("mine")

    options: dict[str, Any] = {"settings": settings, "runs": tmp_path, "on_event": occupy}
    with pytest.warns(UserWarning, match="is not a report of charlm"):
        finished = charlm.train("quickstart", text=text_file, **options)
    assert finished.report is None


def test_a_report_can_be_switched_off(text_file: Path, tmp_path: Path) -> None:
    folder = train(text_file, tmp_path, "--set=training.report=false")
    assert not (folder / "report.html").exists()


def test_programs_get_the_path_of_the_report(text_file: Path, tmp_path: Path) -> None:
    arguments = quickstart_on(text_file, tmp_path)
    result = run(*arguments, "--steps", "2", "--name", "one", "--json", *WITH_REPORT)
    last = json.loads(result.stdout.splitlines()[-1])
    assert last["report"] == str(tmp_path / "one" / "report.html")


@pytest.mark.parametrize("error", [CharlmError("no space"), KeyError("bug"), OSError("disk")])
def test_a_failing_report_loses_no_run(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It is one line of warning; the run is complete, with its result."""

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(report, "write_report", fail)
    result = run(*quickstart_on(text_file, tmp_path), "--steps", "2", "--name", "one", *WITH_REPORT)
    assert result.exit_code == 0, result.output
    assert result.stderr.count("warning: no report was written") == 1
    assert "Traceback" not in result.output
    assert "result" in read_starts(tmp_path / "one" / "environment.json")[-1]


def test_a_file_of_the_user_stays(text_file: Path, tmp_path: Path) -> None:
    folder = train(text_file, tmp_path, "--set=training.report=false")
    (folder / "report.html").write_text("mine")
    settings = ("--set", "training.steps=6", "--set", "training.report=true")
    result = run("train", "--resume", folder, *settings)
    assert result.exit_code == 0, result.output
    assert "is not a report of charlm" in " ".join(result.stderr.split())
    assert (folder / "report.html").read_text() == "mine"


def test_each_run_of_a_series_has_a_report(text_file: Path, tmp_path: Path) -> None:
    arguments = quickstart_on(text_file, tmp_path)
    result = run(*arguments, "--steps", "2", "--seeds", "0,1", "-q", *WITH_REPORT)
    assert result.exit_code == 0, result.output
    assert len([*tmp_path.glob("*/report.html")]) == 2


def test_results_of_a_series_have_reports(text_file: Path, tmp_path: Path) -> None:
    """`train_series` returns the path of each, and so does its last event."""
    settings = [*TINY, "training.steps=2", "training.report=true"]
    events: list[Any] = []
    options: dict[str, Any] = {"runs": tmp_path, "name": "a", "on_event": events.append}
    series = charlm.train_series(text=text_file, seeds=(0, 1), settings=settings, **options)
    reports = [one.finished.report for one in series.results if one.finished]
    assert reports == [one.run.path / "report.html" for one in series.results]
    assert len({*reports}) == 2
    assert all(path and path.exists() for path in reports)
    assert events[-1] == series


def test_a_run_without_steps_is_discarded(text_file: Path, tmp_path: Path) -> None:
    """Its report, if somebody made one, is charlm's; a page of the user's keeps the folder."""
    folder = RunFolder(train(text_file, tmp_path, "--set=training.report=false"))
    for path in (folder.metrics, folder.samples, folder.best, folder.path / ".lock"):
        path.unlink(missing_ok=True)
    folder.report.write_text("<!doctype html><p>mine")
    folder.discard()
    assert folder.path.exists()
    assert folder.report.read_text() == "<!doctype html><p>mine"
    folder.report.unlink()
    result = run("report", folder.path)
    assert result.exit_code == 0, result.output
    folder.discard()
    assert not folder.path.exists()
