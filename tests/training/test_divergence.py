"""Divergence: what is noticed and what is not, and that rolling back is exact."""

import json
import math
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.divergence import LEAPS, NOT_A_NUMBER
from support.training import (
    PowerLossError,
    assert_same_state,
    assert_same_weights,
    crash_at,
    lines,
    losses,
    train,
    weights,
)

import charlm
from charlm.config.schema import Config
from charlm.errors import DivergenceError
from charlm.models.language_model import LanguageModel
from charlm.runs.checkpoint import read_checkpoint
from charlm.runs.folder import RunFolder
from charlm.training import command_clock, optimizer, rollback
from charlm.training.divergence import LossWatch, advice, is_divergence
from charlm.training.events import Event, RolledBack, Stepped
from charlm.training.rollback import Rollback


def of_kind(seen: list[Event], kind: type) -> Callable[[Event], None]:
    return lambda event: seen.append(event) if isinstance(event, kind) else None


def events(run: RunFolder) -> list[dict[str, Any]]:
    return [line for line in lines(run) if "event" in line]


# --- what is noticed -----------------------------------------------------------------------------


@given(
    st.integers(0, 2**31),
    st.floats(0.0, 1.5),
    st.floats(1.0, 6.0),
    st.floats(0.0, 1.0),
)
def test_ordinary_training_raises_no_alarm(
    seed: int, noise: float, first: float, fall: float
) -> None:
    """Losses fall, with noise, and are higher for 20 steps at the start of each epoch."""
    random = np.random.default_rng(seed)
    watch = LossWatch.of_vocabulary(round(math.exp(first)) + 1)
    for step in range(600):
        begins = 2.0 if step % 100 < 20 else 0.0
        level = first * (1 - fall * step / 600)
        watch.observe(max(0.0, level + begins + noise * random.standard_normal()))
        assert not watch.has_leapt


@pytest.mark.parametrize("height", [1.5, 40.0])
def test_leap_counts_when_it_has_lasted(height: float) -> None:
    random = np.random.default_rng(0)
    watch = LossWatch()
    for _ in range(300):
        watch.observe(2 + 0.1 * random.standard_normal())
    for _ in range(49):
        watch.observe(2 + height)
        assert watch.is_high
        assert not watch.has_leapt
    resumed = LossWatch(**json.loads(json.dumps(asdict(watch))))
    assert resumed == watch
    watch.observe(2 + height)
    assert watch.has_leapt
    assert "for 50 steps, after 1.99" in watch.describe()
    resumed.observe(2.0)
    assert not resumed.is_high


def test_slow_rise_is_noticed_above_a_guess() -> None:
    """A loss that rises slowly is noticed once it is worse than a uniform guess."""
    watch = LossWatch.of_vocabulary(30)
    reached = 0.0
    while not watch.has_leapt:
        reached += 0.005
        watch.observe(2.0 + reached)
    assert math.log(30) < 2.0 + reached < math.log(30) + 1.5


def test_harder_text_explains_a_high_loss() -> None:
    """Weights have diverged if they are clearly worse than earlier ones on the same text."""
    assert is_divergence(math.nan, 2.0)
    assert is_divergence(3.0, 2.0)
    assert not is_divergence(9.0, 10.0)


def test_advice_fits_the_config() -> None:
    def advised(**keys: Any) -> str:
        model = {"cell": "rnn", "nonlinearity": keys.pop("nonlinearity", "tanh")}
        return advice(Config.model_validate({"model": model, "training": keys}))

    assert "training.max_gradient_norm=1" in advised(max_gradient_norm=None)
    assert "nonlinearity=tanh" in advised(nonlinearity="relu")
    assert "training.learning_rate (now 7)" in advised(learning_rate=7.0)


# --- rolling back --------------------------------------------------------------------------------


def test_rolls_back_to_half_the_rate(text_file: Path, tmp_path: Path) -> None:
    """A run that diverges rolls back to its last save and halves the learning rate."""
    seen: list[Any] = []
    run = train(text_file, tmp_path, *NOT_A_NUMBER, on_event=of_kind(seen, RolledBack))
    (event,) = seen
    assert events(run) == [{"event": "rollback"} | asdict(event)]
    assert (event.step, event.diverged_at, event.learning_rate_scale) == (30, 38, 0.5)
    assert event.reason.startswith("step 39: the ")
    steps = [line for line in lines(run) if "loss" in line]
    assert [line["step"] for line in steps] == list(range(1, 121)), "each once"
    for line in steps:
        warmup = min(1.0, line["step"] / 61)
        scale = 0.5 if line["step"] > 30 else 1.0
        assert line["learning_rate"] == pytest.approx(17 * warmup * scale)
    assert all(tensor.isfinite().all() for tensor in weights(run.last).values())
    assert not run.rollback.exists()


def test_leaping_run_learns_after_all(text_file: Path, tmp_path: Path) -> None:
    run = train(text_file, tmp_path, *LEAPS)
    scales = [event["learning_rate_scale"] for event in events(run)]
    assert scales == [0.5, 0.25, 0.125]
    assert all("the loss has been above" in event["reason"] for event in events(run))
    assert np.mean(losses(run)[-20:]) < 2.6 < losses(run)[0]
    with pytest.raises(PowerLossError):
        factor = "training.rollback_factor=0.1"
        train(text_file, tmp_path, *LEAPS, factor, name="slower", on_event=crash_after_rollback)
    (event,) = events(RunFolder(tmp_path / "slower"))
    assert event["learning_rate_scale"] == 0.1


@pytest.mark.parametrize("most", [0, 3])
def test_after_the_last_roll_back_advice(text_file: Path, tmp_path: Path, most: int) -> None:
    """A run that diverges after its last rollback ends with advice."""
    settings = ["training.learning_rate=1e4", f"training.max_rollbacks={most}"]
    count = "after 3 rollbacks; " if most else "; "
    advised = rf"{count}.*max_gradient_norm=1 .*\(now 10000\).*last\.safetensors"
    with pytest.raises(DivergenceError, match=advised):
        train(text_file, tmp_path, *NOT_A_NUMBER, *settings, name="run")
    run = RunFolder(tmp_path / "run")
    assert [event["learning_rate_scale"] for event in events(run)] == [0.5, 0.25, 0.125][:most]
    assert all(tensor.isfinite().all() for tensor in weights(run.last).values())


def test_harder_text_is_no_divergence(text_file: Path, tmp_path: Path) -> None:
    """The second half of the text has other letters, so that the loss leaps and stays high."""
    letters = list("cdefghijklmnopqrstuvwxyz")
    other = "".join(np.random.default_rng(0).choice(letters, 1000))
    text_file.write_text("ab" * 1000 + other, "utf-8")
    settings = [
        "batches.batch_size=1",
        "batches.sequence_length=8",
        "batches.random_offset=false",
        "training.epochs=1",
        "training.learning_rate=1e-2",
        "training.save_every=50",
        "training.max_rollbacks=0",
        "corpus.split=[1, 0, 0]",
    ]
    compared: list[tuple[float, float]] = []

    def compare(now: float, then: float) -> bool:
        compared.append((now, then))
        return is_divergence(now, then)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rollback, "is_divergence", compare)
        run = train(text_file, tmp_path, *settings)
    assert compared
    assert events(run) == []
    with pytest.MonkeyPatch.context() as patch, pytest.raises(DivergenceError):
        patch.setattr(rollback, "is_divergence", lambda *_: True)
        train(text_file, tmp_path, *settings)


def test_not_finite_weight_rolls_back(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A weight that is not finite is noticed when it would be saved."""
    adam = optimizer._AdamW.step
    calls: list[int] = []

    def poison(self: Any, *arguments: Any) -> Any:
        adam(self, *arguments)
        calls.append(1)
        if len(calls) == 8:
            self.param_groups[1]["params"][0].data[0] = math.inf

    monkeypatch.setattr(optimizer._AdamW, "step", poison)
    monkeypatch.setattr(LanguageModel, "loss", finite_loss(LanguageModel.loss))
    run = train(text_file, tmp_path, "training.steps=12", "training.save_every=4")
    (event,) = events(run)
    assert (event["step"], event["reason"]) == (4, "step 8: a weight is not finite")
    assert all(tensor.isfinite().all() for tensor in weights(run.last).values())


def finite_loss(loss: Any) -> Any:
    """Return a loss that is always finite, so that only the weights show the divergence."""

    def finite(*arguments: Any) -> Any:
        value, state = loss(*arguments)
        return value.nan_to_num(0.0, 0.0, 0.0), state

    return finite


# --- exactness -----------------------------------------------------------------------------------


def assert_same_run(one: RunFolder, other: RunFolder) -> None:
    assert lines(one) == lines(other)
    assert one.samples.read_bytes() == other.samples.read_bytes()
    assert_same_state(one.last, other.last)
    assert_same_weights(one.best, other.best)
    here, there = ({path.name for path in run.checkpoints.iterdir()} for run in (one, other))
    assert here == there


def stop_at(step: int) -> Callable[[Event], None]:
    def on_event(event: Event) -> None:
        if isinstance(event, Stepped) and event.step.step == step:
            os.kill(os.getpid(), signal.SIGINT)

    return on_event


def crash_after_rollback(event: Event) -> None:
    if isinstance(event, RolledBack):
        raise PowerLossError


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
@pytest.mark.parametrize("settings", [NOT_A_NUMBER, LEAPS])
def test_resumed_across_roll_backs_equals(
    text_file: Path, tmp_path: Path, settings: list[str]
) -> None:
    """A run that is stopped, killed and resumed equals the uninterrupted one. It is stopped
    between two saves, so that it rolls back to a state from before the stop.
    """
    whole = train(text_file, tmp_path, *settings, name="whole")
    assert len(events(whole)) in (1, 3)
    folder = tmp_path / "broken"
    with pytest.raises(KeyboardInterrupt):
        train(text_file, tmp_path, *settings, name="broken", on_event=stop_at(33))
    assert RunFolder(folder).rollback.exists()
    ends: list[tuple[type[BaseException], Callable[[Event], None]]] = [
        (KeyboardInterrupt, stop_at(34)),
        (PowerLossError, crash_after_rollback),
        (KeyboardInterrupt, stop_at(61)),
        (PowerLossError, crash_at(93)),
        (KeyboardInterrupt, stop_at(105)),  # a save is due, and waits if the loss is high
    ]
    for ending, on_event in ends:
        with pytest.raises(ending):
            charlm.resume(folder, on_event=on_event)
    counted = read_checkpoint(RunFolder(folder).last).training_counters["run"]
    assert counted["save_is_due"] == (counted["watch"]["high_steps"] > 0) == (settings is LEAPS)
    charlm.resume(folder)
    assert_same_run(RunFolder(folder), whole)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
def test_crash_within_a_roll_back(text_file: Path, tmp_path: Path) -> None:
    """A crash at each action of a rollback leaves a run that rolls back again. The last save is
    that of a stop, after the state to roll back to.
    """
    settings = [*NOT_A_NUMBER, "training.keep_checkpoints=1", "training.steps=61"]
    whole = train(text_file, tmp_path, *settings, name="whole")
    broken = RunFolder(tmp_path / "broken")
    with pytest.raises(KeyboardInterrupt):
        train(text_file, tmp_path, *settings, name="broken", on_event=stop_at(33))
    for call in (
        "folder.RunFolder.rename_rollback_to_last",
        "folder.RunFolder.discard_after",
        "logs.Logs.add_metrics",
        "folder.RunFolder.save_last",
        "logs.sync",
    ):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(PowerLossError):
            patch.setattr(Rollback, "roll_back", crashing_at(f"charlm.runs.{call}", patch))
            charlm.resume(broken.path)
        saved = read_checkpoint(broken.last).training_counters["trainer"]["step"]
        expected = 33 if call == "folder.RunFolder.rename_rollback_to_last" else 30
        assert len(losses(broken)) >= saved == expected, call
    charlm.resume(broken.path)
    assert_same_run(broken, whole)


def crashing_at(call: str, patch: pytest.MonkeyPatch) -> Any:
    """Return a `roll_back` that loses power instead of a call."""
    roll_back = Rollback.roll_back

    def crash(*_: Any) -> None:
        raise PowerLossError

    def crashing(self: Rollback, reason: str) -> RolledBack:
        patch.setattr(call, crash)
        return roll_back(self, reason)

    return crashing


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
def test_crash_within_a_save(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash after each file operation of a stop and of the regular save after it is harmless."""
    settings = [*NOT_A_NUMBER, "training.keep_checkpoints=1", "training.steps=46"]
    whole = train(text_file, tmp_path, *settings, name="whole")
    broken = RunFolder(tmp_path / "broken")
    with pytest.raises(PowerLossError):
        train(text_file, tmp_path, *settings, name="broken", on_event=crash_at(17))
    for operation, on_event, saved in [
        ("copy_last_to_rollback", stop_at(17), (15, 15)),
        ("save_last", stop_at(17), (17, 15)),
        ("save_last", stop_at(-1), (30, 15)),
        ("delete_rollback", stop_at(-1), (30, None)),
    ]:
        with monkeypatch.context() as patch, pytest.raises(PowerLossError):
            patch.setattr(RunFolder, operation, losing_power_after(getattr(RunFolder, operation)))
            charlm.resume(broken.path, on_event=on_event)
        assert (step_of(broken.last), step_of(broken.rollback)) == saved
    charlm.resume(broken.path)
    assert_same_run(broken, whole)


def losing_power_after(operation: Callable[..., None]) -> Callable[..., None]:
    def crashing(*arguments: Any) -> None:
        operation(*arguments)
        raise PowerLossError

    return crashing


def step_of(path: Path) -> int | None:
    """Return the step of a checkpoint, if it exists."""
    if not path.exists():
        return None
    step: int = read_checkpoint(path).training_counters["trainer"]["step"]
    return step


def test_no_regular_save_during_a_leap(text_file: Path, tmp_path: Path) -> None:
    """Saves that are due wait while the loss is high."""
    saved: dict[int, float] = {}
    run = RunFolder(tmp_path / "run")

    def on_event(event: Event) -> None:
        if isinstance(event, Stepped):
            saved[event.step.step] = read_checkpoint(run.last).training_counters["trainer"]["step"]

    train(text_file, tmp_path, *LEAPS, "training.max_rollbacks=1", "training.steps=95", name="run",
          on_event=on_event)  # fmt: skip
    assert saved[94] < 60 < 94 - 15, "two saves were due and waited"
    assert read_checkpoint(run.last).training_counters["trainer"]["step"] == 95
    assert run.rollback.exists(), "the last was saved in the leap, because the run has ended"
    assert read_checkpoint(run.rollback).training_counters["trainer"]["step"] == saved[94]


def test_stale_rollback_is_deleted(text_file: Path, tmp_path: Path) -> None:
    """A crash between a regular save and the deletion of `rollback` leaves a stale one."""
    run = train(text_file, tmp_path, *NOT_A_NUMBER, "training.steps=30")
    run.rollback.write_bytes(run.last.read_bytes())
    charlm.resume(run.path, settings=["training.steps=32"])
    assert not run.rollback.exists()


def test_roll_back_gives_no_time_back(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps that are undone still count in a time budget. The clock advances a second a step."""
    now = [0.0]
    monkeypatch.setattr(command_clock, "seconds_awake", lambda: now[0])

    def on_event(event: Event) -> None:
        now[0] += isinstance(event, Stepped)

    settings = [s for s in NOT_A_NUMBER if not s.startswith("training.steps")]
    run = train(text_file, tmp_path, *settings, "training.budget=50s", on_event=on_event)
    (event,) = events(run)
    counters = read_checkpoint(run.last).training_counters
    lost = event["diverged_at"] - event["step"]
    assert lost > 0
    assert counters["trainer"]["step"] == 50 - lost
    assert counters["run"]["elapsed"] == 50
