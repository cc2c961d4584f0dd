"""A run folder to be read: what `Run` returns is what training has written."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.training import TINY

import charlm
from charlm.errors import ConfigError, RunError
from charlm.runs.logs import Logs
from charlm.runs.run import Run, Sample
from charlm.training.events import Event, Logged, Sampled, Validated

SETTINGS = [*TINY, "training.steps=6", "training.validate_every=3"]
TEXTS = st.text(st.sampled_from("a-\n\r1 é\udcff"), max_size=9)


def train(folder: Path, *settings: str, on_event: Callable[[Event], None] = print) -> Run:
    text = folder / "text.txt"
    text.write_text("The rain falls and rises.\n" * 60, "utf-8")
    done = charlm.train(
        "quickstart",
        text=text,
        name="run",
        runs=folder,
        settings=[*SETTINGS, *settings],
        on_event=on_event,
    )
    return done.run


def empty_run(folder: Path) -> Path:
    """A run folder before the first step."""
    path = folder / "run"
    (path / "checkpoints").mkdir(parents=True, exist_ok=True)
    (path / "config.yaml").write_text("model:\n  hidden_size: 5\n", "utf-8")
    return path


def test_a_run_has_its_metrics_and_samples(tmp_path: Path) -> None:
    """They are those of the events, in order; `load` and `resume` take the run as a path."""
    events: list[Event] = []
    run = train(tmp_path, on_event=events.append)
    assert os.fspath(run) == str(tmp_path / "run")
    assert run.config.model.hidden_size == 16
    metrics = run.metrics()
    assert [line for line in metrics if "loss" in line] == [
        event.line for event in events if isinstance(event, Logged)
    ]
    losses = [e.score.nats_per_character for e in events if isinstance(e, Validated)]
    assert [line["validation_loss"] for line in metrics if "validation_loss" in line] == losses
    drawn = [Sample(event.step, event.text) for event in events if isinstance(event, Sampled)]
    assert run.samples() == drawn
    assert len(drawn) == 2
    assert f"<td>{min(losses):.4f} nats</td>" in run._repr_html_().replace(
        ' style="text-align:left;white-space:pre-wrap"', ""
    )
    assert repr(run) == f"Run('{tmp_path / 'run'}')"
    assert charlm.load(run).path == tmp_path / "run" / "checkpoints" / "best.safetensors"
    assert charlm.resume(run).step == 6


def test_a_run_of_an_ensemble_names_members(tmp_path: Path) -> None:
    """The samples of an ensemble have the number of the network that drew them."""
    run = train(tmp_path, "ensemble.members=2")
    assert [(one.member, one.step) for one in run.samples()] == [(1, 3), (1, 6), (2, 3), (2, 6)]
    assert {line["member"] for line in run.metrics()} == {1, 2}
    assert [one.text for one in run.samples()[2:]] == [
        one.text for one in Run(run.path / "member-2").samples()
    ]


@pytest.mark.parametrize("members", [1, 2])
def test_a_broken_config_hides_no_run(members: int, tmp_path: Path) -> None:
    """The settings are then those of a checkpoint; without one, the mistake is raised."""
    run = train(tmp_path, f"ensemble.members={members}")
    settings = run.config
    (run.path / "config.yaml").write_text("model: [", "utf-8")
    assert Run(run.path).config == settings
    assert "lowest validation loss" in Run(run.path)._repr_html_()
    (run.path / "config.yaml").unlink()
    assert Run(run.path).config == settings
    path = empty_run(tmp_path / "other")
    (path / "config.yaml").write_text("model: [", "utf-8")
    with pytest.raises(ConfigError, match="not YAML"):
        Run(path)


@given(st.lists(st.tuples(st.integers(0, 10**6), TEXTS), max_size=4))
def test_any_sample_is_read_as_written(scratch: Path, samples: list[tuple[int, str]]) -> None:
    """Newlines, empty samples, and bytes of a byte model that are not UTF-8."""
    path = empty_run(scratch)
    logs = Logs(path)
    logs.samples.unlink(missing_ok=True)
    for step, text in samples:
        logs.add_sample(step, text)
    assert Run(path).samples() == [Sample(step, text) for step, text in samples]


def test_half_written_entries_are_left_out(tmp_path: Path) -> None:
    """A training in progress may have written the last line, or the last sample, in part."""
    path = empty_run(tmp_path)
    run = Run(path)
    assert (run.metrics(), run.samples()) == ([], [])
    logs = Logs(path)
    logs.add_metrics({"step": 1})
    logs.add_sample(1, "whole")
    for log, rest in ((logs.metrics, '{"step": 2'), (logs.samples, "--- step 2 ---\nha")):
        with log.open("a") as file:
            file.write(rest)
    assert run.metrics() == [{"step": 1}]
    assert run.samples() == [Sample(1, "whole")]


@pytest.mark.parametrize("line", ["{", "3", '"é"', "", "[" * 10_000])
def test_a_foreign_line_is_named(tmp_path: Path, line: str) -> None:
    """A line that is not a JSON object is a mistake that the message locates."""
    path = empty_run(tmp_path)
    (path / "metrics.jsonl").write_text(f'{{"step": 1}}\n{line}\n', "utf-8")
    with pytest.raises(RunError, match=r"metrics\.jsonl: line 2 is not a JSON object"):
        Run(path).metrics()


def test_other_folders_are_not_runs(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run"):
        Run(tmp_path / "nothing")
    with pytest.raises(RunError, match="contains no checkpoint"):
        Run(tmp_path)
