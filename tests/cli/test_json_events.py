"""`charlm train --json`: each line is an event as the document describes it."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from support.commands import SMALL, run
from support.commands import train as trained_run
from support.json_events import events_of, refuse_constant
from typer.testing import Result

from charlm.training.event_json import to_line
from charlm.training.step_result import StepResult
from charlm.training.trainer import Trainer


def train(text: Path, *arguments: object, steps: int = 4) -> Result:
    runs = ("--runs", text.parent / "runs", f"--set=training.steps={steps}")
    return run("train", "quickstart", "--text", text, "--json", *runs, *SMALL, *arguments)


def names(events: list[dict[str, Any]]) -> list[str]:
    return [event.get("event", "error") for event in events]


def test_events_of_a_run(text_file: Path) -> None:
    """The events come in the order of training; a step line is one of the log."""
    result = train(text_file, "--set=training.log_every=2", "--set=training.validate_every=3")
    events = events_of(result)
    assert names(events) == [
        *("start", "saved", "step", "validation", "sample", "step", "validation", "sample"),
        *("saved", "finished"),
    ]
    folder = Path(events[-1]["run"])
    assert all(event["run"] == str(folder) for event in events)
    log = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    steps = [event for event in events if event["event"] == "step"]
    assert [{k: v for k, v in step.items() if k not in ("event", "run")} for step in steps] == [
        line for line in log if "loss" in line
    ]
    score = json.loads(run("eval", folder, "--json").stdout)
    assert events[-1]["split"] == "test"
    assert events[-1]["score"]["perplexity"] == pytest.approx(score["perplexity"])
    assert events[-1]["score"].keys() <= score.keys()
    assert "validation loss" in result.stderr


def test_events_of_an_ensemble(text_file: Path) -> None:
    """The events of a member have its number; those of the ensemble have none."""
    events = events_of(train(text_file, "--set=ensemble.members=2", "--name=both"))
    starts = [event for event in events if event.get("event") == "start"]
    assert [start["member"] for start in starts] == [1, 2]
    assert "member" not in events[-1] and names(events)[-2] == "mixing"
    assert {event["run"] for event in events} == {str(text_file.parent / "runs" / "both")}
    assert [one["run"][-8:] for one in events[-1]["members"]] == ["member-1", "member-2"]


def test_events_of_a_chosen_model(text_file: Path) -> None:
    """With --auto the first event is the advice, which belongs to no run yet."""
    small = ("--set=ensemble.members=1", "--set=model.hidden_size=8", "--set=generation.length=5")
    about = ("--text", text_file, "--runs", text_file.parent, "--budget", "0.3s", *small)
    events = events_of(run("train", "--auto", "--json", *about))
    assert events[0]["event"] == "advice" and events[0]["run"] is None
    assert events[0]["reasons"]


def test_events_of_a_resumed_run(text_file: Path) -> None:
    """A resumed run prints the events from its last checkpoint on."""
    folder = trained_run(text_file, text_file.parent)
    result = run("train", "--json", "--resume", folder, "--set=training.steps=6", "--quiet")
    assert result.stderr == ""
    events = events_of(result)
    assert events[0]["event"] == "start" and events[0]["step"] == 4
    assert [event["step"] for event in events if event["event"] == "step"] == [5, 6]


def test_events_of_a_divergence(text_file: Path) -> None:
    """A rollback is an event; the last event of a run that diverges again is its error."""
    rates = ("learning_rate=1e9", "warmup_steps=0", "rollback_factor=0.9", "max_rollbacks=1")
    unclipped = ("max_gradient_norm=null", "optimizer=sgd", *rates)
    settings = [f"--set=training.{setting}" for setting in unclipped]
    result = train(text_file, *settings, "--set=model.cell=rnn", "--set=model.nonlinearity=relu")
    assert result.exit_code == 1
    events = events_of(result)
    assert "rollback" in names(events)
    assert result.stderr.splitlines()[-1] == f"charlm: {events[-1]['error']}"


@pytest.mark.parametrize("mistake", ["--set=batches.batch_size=0", "--set=corpus.encoding=none"])
def test_an_error_is_the_last_event(text_file: Path, mistake: str) -> None:
    """What refuses to train is an error on both standard output and standard error."""
    result = train(text_file, mistake)
    assert result.exit_code == 1
    [event] = events_of(result)
    assert result.stderr.splitlines()[-1] == f"charlm: {event['error']}"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
def test_a_stop_is_the_last_event(text_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C saves; the last event says that the run stopped."""
    take_step = Trainer.take_step

    def interrupted(self: Trainer, *arguments: Any) -> StepResult:
        if self.step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return take_step(self, *arguments)

    monkeypatch.setattr(Trainer, "take_step", interrupted)
    result = train(text_file, steps=50)
    assert result.exit_code == 130
    events = events_of(result)
    assert names(events)[-2:] == ["saved", "stopped"]
    assert events[-2]["step"] == 3


def test_a_line_is_valid_whatever_it_says() -> None:
    """Numbers that are not finite become null; bytes that are no text become U+FFFD."""
    values = {"a": [float("nan"), float("inf"), 0.5], "b": {"c": "é\u2028\udc80\n"}, "d": "\ud800"}
    line = to_line(values)
    assert "\n" not in line and len(line.splitlines()) == 1
    read = json.loads(line, parse_constant=refuse_constant)
    assert set(read.pop("d")) == {"\ufffd"}
    assert read == {"a": [None, None, 0.5], "b": {"c": "é\u2028\ufffd\n"}}


def test_samples_of_bytes_are_valid(text_file: Path) -> None:
    """A byte model draws bytes that are not UTF-8, but each line is valid."""
    text_file.write_bytes(bytes(range(128, 256)) * 40)
    result = train(text_file, "--set=corpus.unit=byte", "--set=corpus.newlines=keep")
    assert "\ufffd" in events_of(result)[-1]["sample"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
@pytest.mark.parametrize("members", [1, 2])
def test_a_second_ctrl_c_names_the_resume(
    members: int, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second Ctrl-C stops without saving; one line says how to resume from the last save."""
    take_step = Trainer.take_step

    def interrupted(self: Trainer, *arguments: Any) -> StepResult:
        if self.step == 2:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        return take_step(self, *arguments)

    monkeypatch.setattr(Trainer, "take_step", interrupted)
    result = train(text_file, f"--set=ensemble.members={members}", steps=50)
    assert result.exit_code == 130
    assert events_of(result)[-1]["error"].startswith("interrupted; nothing was saved since")
    last = result.stderr.splitlines()[-1]
    assert last.startswith("stopped; resume from the last checkpoint with `charlm train --resume ")
    assert "stopped and saved" not in result.stderr
    (run,) = text_file.parent.glob("runs/*")
    assert last.endswith(f"{run}`")


@pytest.mark.parametrize("ending", [KeyboardInterrupt(), ValueError("a bug")])
def test_what_saves_nothing_is_an_error(
    text_file: Path, monkeypatch: pytest.MonkeyPatch, ending: BaseException
) -> None:
    """An interruption before training, and a bug, leave an error as the last line."""

    def fail(*_: object, **__: object) -> None:
        raise ending

    monkeypatch.setattr("charlm.training.start.train", fail)
    result = train(text_file)
    assert result.exit_code == (130 if isinstance(ending, KeyboardInterrupt) else 1)
    [event] = events_of(result)
    assert event["error"].startswith(("interrupted", "ValueError: a bug"))


def test_only_the_first_process_prints(text_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first process of a second machine prints its error for people alone."""
    names = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    names |= {"TORCHELASTIC_RESTART_COUNT": "0", "TORCHELASTIC_MAX_RESTARTS": "0"}
    names |= {"TORCHELASTIC_RUN_ID": "x", "MASTER_PORT": "1", "MASTER_ADDR": "localhost"}
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    result = train(text_file, "--set=batches.batch_size=0")
    assert result.exit_code == 1 and result.stdout == ""
    assert "batches.batch_size is 0" in result.stderr
    monkeypatch.setenv("RANK", "0")
    [event] = events_of(train(text_file, "--set=batches.batch_size=0"))
    assert "batches.batch_size is 0" in event["error"]
