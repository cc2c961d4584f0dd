"""Several processes train as one does: the same losses, the same checkpoints, one fate."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.launches import torchrun
from support.several_processes import (
    KINDS,
    assert_alike,
    charlm_by,
    kill,
    taken_up_at,
    training,
)
from support.training import assert_same_weights, lines

import charlm
from charlm.runs.checkpoint import read_checkpoint
from charlm.runs.folder import RunFolder


@pytest.mark.parametrize("name", KINDS)
def test_two_processes_train_as_one(by_one_and_two: Path, name: str) -> None:
    """Two processes train as one process does."""
    one, two = RunFolder(by_one_and_two / "one" / name), RunFolder(by_one_and_two / "two" / name)
    assert_alike(two, one)
    mine, theirs = (read_checkpoint(run.last).training_tensors for run in (two, one))
    assert mine.keys() == theirs.keys()
    for key in mine:  # the carried state of all columns, too
        torch.testing.assert_close(mine[key], theirs[key], rtol=1e-3, atol=1e-5)


def test_two_processes_roll_back(by_one_and_two: Path) -> None:
    """Two processes roll back at the same steps as one process."""
    one, two = (
        [line for line in lines(RunFolder(by_one_and_two / name / "diverging")) if "event" in line]
        for name in ("one", "two")
    )
    assert [(event["event"], event["step"], event["diverged_at"]) for event in one] == [
        ("rollback", 5, 10)
    ]
    assert two == one


def test_environment_records_processes(by_one_and_two: Path) -> None:
    """environment.json records the number of processes."""
    for name, number in (("one", 1), ("two", 2)):
        (entry,) = json.loads(
            RunFolder(by_one_and_two / name / "lstm").environment.read_text("utf-8")
        )
        assert entry["processes"] == number


def test_checkpoints_fit_any_number_of_processes(by_one_and_two: Path, tmp_path: Path) -> None:
    """A checkpoint is resumed by another number of processes than wrote it."""
    assert_alike(
        RunFolder(by_one_and_two / "two" / "taken-up"),
        RunFolder(by_one_and_two / "one" / "lstm-carried"),
    )
    one, two = (
        shutil.copytree(by_one_and_two / number / "lstm-carried", tmp_path / number)
        for number in ("one", "two")
    )
    for folder in (one, two):
        charlm.resume(folder, settings=["training.steps=30"])
    assert_alike(RunFolder(two), RunFolder(one))


def test_restart_resumes_after_a_kill(by_one_and_two: Path) -> None:
    """After a kill of the writer torchrun restarts all processes, and they resume the run."""
    ended = RunFolder(by_one_and_two / "two" / "killed")
    starts = json.loads(ended.environment.read_text("utf-8"))
    assert [start["resumed_at"] for start in starts] == [0, 5]  # in step 9, saved every 5
    messages = (by_one_and_two / "messages").read_text("utf-8")
    assert taken_up_at(messages) == 5
    of_charlm = [line for line in messages.splitlines() if "torch/distributed/elastic" not in line]
    assert not any("Traceback" in line for line in of_charlm)  # the agent logs that one was killed
    check_equals_whole(ended, by_one_and_two)


def check_equals_whole(ended: RunFolder, by_one_and_two: Path) -> None:
    """A run that was killed and restarted equals the uninterrupted one, to the last bit."""
    whole = RunFolder(by_one_and_two / "two" / "rnn-carried")
    assert lines(ended) == lines(whole)
    assert_same_weights(ended.last, whole.last)
    assert_same_weights(ended.best, whole.best)


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers below /proc")
def test_restart_after_a_kill_of_another(by_one_and_two: Path) -> None:
    """It is the same where a process is killed that writes nothing."""
    ended = RunFolder(by_one_and_two / "anew" / "rnn-carried")
    arguments = training(
        by_one_and_two / "text.txt", ended.path.parent, "rnn-carried", *KINDS["rnn-carried"]
    )
    launcher = torchrun(2, "--max-restarts", "1", "--monitor-interval", "0.05")
    with subprocess.Popen(
        charlm_by(launcher, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as agent:
        reached = kill(agent, 1, ended.metrics)
        _, messages = agent.communicate(timeout=60)
    assert agent.returncode == 0, messages
    assert taken_up_at(messages) >= reached - 5  # one saving interval
    assert "Traceback" not in messages
    check_equals_whole(ended, by_one_and_two)


@pytest.mark.long
def test_three_processes_resume_exactly(by_one_and_two: Path) -> None:
    """Three processes resume bit for bit, although they add up three gradients in some order."""
    settings = [*KINDS["gru-carried"], "training.schedule=constant"]
    three, runs = (
        torchrun(3),
        [RunFolder(by_one_and_two / "three" / name) for name in ("whole", "taken-up")],
    )
    for ended, steps in zip(runs, (60, 33), strict=True):
        about = [*settings, f"training.steps={steps}"]
        arguments = training(
            by_one_and_two / "text.txt", ended.path.parent, ended.path.name, *about
        )
        subprocess.run(charlm_by(three, *arguments), check=True, timeout=100)
    again = ("train", "--resume", runs[1].path, "--set=training.steps=60")
    subprocess.run(charlm_by(three, *again), check=True, timeout=100)
    whole, taken_up = (
        [line for line in lines(ended) if "loss" in line and line["step"] != 33] for ended in runs
    )
    assert len(whole) == 59
    assert taken_up == whole
    assert_same_weights(runs[0].last, runs[1].last)


@pytest.mark.long
def test_budget_ends_all_at_the_same_step(by_one_and_two: Path) -> None:
    """A time budget ends all processes at the same step."""
    limits = ("training.steps=null", "training.budget=3s")
    arguments = training(by_one_and_two / "text.txt", by_one_and_two / "timed", "timed", *limits)
    done = subprocess.run(
        charlm_by(torchrun(2), *arguments),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    about = read_checkpoint(RunFolder(by_one_and_two / "timed" / "timed").last).training_counters
    assert 0 < about["run"]["elapsed"] < 5
