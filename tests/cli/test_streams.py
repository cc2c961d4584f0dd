"""Streams, signals and stops of a process: no run ends by them, and no result is lost unsaid."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import platformdirs
import pytest
import torch
from support.commands import SMALL, quickstart_on
from support.processes import python
from support.streams import charlm_with, stream
from support.training import train as train_here

import charlm
from charlm.environment import clock
from charlm.errors import CharlmError, RunError
from charlm.files import locations
from charlm.runs.folder import RunFolder
from charlm.signals import end_on_request, stop_on_interrupt

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such streams or signals")


@pytest.fixture
def training(text_file: Path, tmp_path: Path) -> list[str]:
    limits = ["--set=training.steps=4", "--set=training.validate_every=2"]
    return [
        *quickstart_on(text_file, tmp_path),
        "--name=run",
        *limits,
        *SMALL,
    ]


FAULTS = [errno.EPIPE, errno.EIO, errno.ENOSPC, errno.EFBIG, errno.EBADF, errno.EAGAIN]


@pytest.mark.parametrize(("code", "room"), [(code, 70 * (code % 2)) for code in FAULTS])
def test_unwritable_message_ends_no_run(
    code: int, room: int, training: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training continues and prints its folder when standard error cannot be written."""
    out, text = stream()
    with monkeypatch.context() as patch:
        assert charlm_with(patch, training, text, stream(room, code)[1]) == 0
    assert out.held.decode().strip().endswith(str(tmp_path / "run"))
    assert RunFolder(tmp_path / "run").best.exists()


@pytest.mark.parametrize(
    ("does", "code"),
    [
        *(("train", errno.EPIPE), ("train", errno.EFBIG), ("train", errno.EBADF)),
        *(("eval", errno.EPIPE), ("eval", errno.EIO)),
        *(("generate", errno.EPIPE), ("generate", errno.ENOSPC), ("generate", errno.EAGAIN)),
        *(("data list", errno.EPIPE), ("data list", errno.EIO)),
        *(("--help", errno.EPIPE), ("--help", errno.EIO)),
        *(("bench", errno.EPIPE), ("bench", errno.EIO)),
    ],
)
def test_unwritable_results_are_one_line(
    does: str, code: int, training: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results that cannot be written give one line; a reader that left gives none.

    This holds for all commands, and a run is saved even if its output is lost.
    """
    run = str(tmp_path / "run")
    arguments = {"train": training, "eval": ["eval", run], "generate": ["generate", run]}
    if does in ("eval", "generate"):
        with monkeypatch.context() as patch:
            assert charlm_with(patch, training, stream()[1], stream()[1]) == 0
    if does == "bench":
        monkeypatch.setattr("charlm.cli.bench._read_ratios", lambda path: print("results") or {})
        monkeypatch.setattr("charlm.bench.benchmark.measure", lambda *_: sys.exit(0))
        arguments["bench"] = ["bench", "--check=x", "--no-cells"]
    messages, err = stream()
    with monkeypatch.context() as patch:
        ended = charlm_with(patch, arguments.get(does, does.split()), stream(0, code)[1], err)
    said = messages.held.decode()
    assert ended == (0 if code == errno.EPIPE else 1)
    assert ("charlm: standard output: " in said) == (code != errno.EPIPE)
    assert "Traceback" not in said
    if does == "train":
        assert RunFolder(tmp_path / "run").best.exists()


@pytest.mark.parametrize("members", [1, 2])
def test_a_closed_pipe_leaves_no_empty_run(
    members: int, training: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`charlm train --json | true` leaves no run folder, and is no error."""
    arguments = [*training, "--json", f"--set=ensemble.members={members}"]
    messages, err = stream()
    with monkeypatch.context() as patch:
        assert charlm_with(patch, arguments, stream(0, errno.EPIPE)[1], err) == 0
    assert "charlm: " not in messages.held.decode()
    assert not (tmp_path / "run").exists()


@POSIX
@pytest.mark.parametrize(
    "closed",
    [
        "<&- >&- 2>&-",
        pytest.param("2>&1 | true", marks=pytest.mark.long),
        pytest.param(">&-", marks=pytest.mark.long),
        pytest.param("<&- 2>&-", marks=pytest.mark.long),
    ],
)
def test_closed_streams_do_no_harm(closed: str, training: list[str], tmp_path: Path) -> None:
    """The next file that is opened does not take a closed stream's place."""
    program = "import sys; from charlm.cli import main; main.main()"
    words = " ".join(f"'{word}'" for word in [sys.executable, "-c", program, *training])
    script = f"set -o pipefail; {words} {closed}"
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=False, timeout=120
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == int(">&-" in closed.replace("2>&-", ""))
    assert RunFolder(tmp_path / "run").best.exists()
    for path in RunFolder(tmp_path / "run").path.glob("*.*"):
        assert b"charlm" not in path.read_bytes().split(b"\n")[0]
    assert all(
        json.loads(line) for line in RunFolder(tmp_path / "run").metrics.read_text().splitlines()
    )


def test_unreadable_standard_input_is_a_line(
    training: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A standard input that cannot be read gives an error of one line."""
    number = os.open(os.devnull, os.O_WRONLY)
    messages, err = stream()
    with os.fdopen(number, "r", closefd=True) as closed, monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", closed)
        training[training.index("--text") + 1] = "-"
        assert charlm_with(patch, training, stream()[1], err) == 1
    assert "charlm: standard input: could not be read" in messages.held.decode()


MALFORMED = [
    {"RANK": None},
    {"RANK": ""},
    {"RANK": "x"},
    {"RANK": "2"},
    {"RANK": "-1"},
    {"WORLD_SIZE": "0"},
    {"WORLD_SIZE": "9" * 5000},
    {"LOCAL_RANK": "7"},
    {"TORCHELASTIC_MAX_RESTARTS": "many"},
    {"MASTER_ADDR": None},
    {"MASTER_PORT": "http"},
]
LAUNCH = {
    **{"TORCHELASTIC_RUN_ID": "x", "RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"},
    **{"LOCAL_WORLD_SIZE": "2", "TORCHELASTIC_RESTART_COUNT": "0"},
    **{"TORCHELASTIC_MAX_RESTARTS": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29400"},
}


@pytest.mark.parametrize("change", [dict.fromkeys(list(LAUNCH)[1:]), *MALFORMED])
def test_what_torchrun_never_says_is_a_line(
    change: dict[str, str | None], training: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (LAUNCH | change).items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(
            name, value
        )
    messages, err = stream()
    with monkeypatch.context() as patch:
        assert charlm_with(patch, training, stream()[1], err) == 1
    said = messages.held.decode()
    assert said.count("\n") == 1 and next(iter(change)) in said and "torchrun" in said


@pytest.mark.parametrize("name", ["x\ny", "x\x1b[2J", "x\x7f", "a\u202eb", "tab\t", "\x85"])
def test_the_name_of_a_run_is_printable(name: str, text_file: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="--name"):
        train_here(text_file, tmp_path / "runs", "training.steps=1", name=name)
    assert not (tmp_path / "runs").exists()


def test_run_named_for_a_file_is_printable(text_file: Path, tmp_path: Path) -> None:
    """A run that takes its name from a config file has a printable name."""
    config = tmp_path / "a\nb.yaml"
    config.write_text("training: {steps: 1}\nmodel: {hidden_size: 8}\n")
    run = charlm.train(config, text=text_file, runs=tmp_path / "runs").folder
    assert run.path.name.isprintable()


def test_names_in_any_language_are_taken(text_file: Path, tmp_path: Path) -> None:
    for name in ("Übung 1", "練習", "شعر", "a\u3000b"):
        assert train_here(text_file, tmp_path, "training.steps=1", name=name).path.name == name


def test_without_home_asks_for_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a home folder, the error asks for CHARLM_CACHE.

    This happens to a user that the system does not know, as in a container.
    """

    def unknown(name: str) -> Path:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.delenv("CHARLM_CACHE")
    for of_system in (unknown, lambda name: Path("~/.cache") / name):
        monkeypatch.setattr(platformdirs, "user_cache_path", of_system)
        with pytest.raises(CharlmError, match="set CHARLM_CACHE"):
            locations.cache_folder()


def test_lack_of_memory_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A command without enough memory fails with one line."""
    monkeypatch.setattr("charlm.prediction.predictor.load", lambda *_, **__: torch.empty(1 << 45))
    (tmp_path / "model").touch()
    messages, err = stream()
    with monkeypatch.context() as patch:
        assert charlm_with(patch, ["generate", str(tmp_path / "model")], stream()[1], err) == 1
    assert "charlm: not enough memory" in messages.held.decode()
    assert messages.held.count(b"\n") == 1


@POSIX
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_ignored_signal_stays_ignored(name: str) -> None:
    """A signal that is ignored at the start stays ignored.

    Scripts start background processes like this: Ctrl-C is for what runs in the foreground.
    """
    number = signal.Signals[name]
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with end_on_request(), stop_on_interrupt(lambda: None) as stop:
            os.kill(os.getpid(), number)
            assert not stop.requested
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


STOPPED = """
import json, os, signal, subprocess, time

import charlm
import charlm.training.trainer
from charlm.environment import clock
from charlm.runs.checkpoint import read_checkpoint
from charlm.training.events import Paused, Stepped

def stop_for(seconds):
    with subprocess.Popen(["sh", "-c", f"sleep {seconds}; kill -CONT {os.getpid()}"]):
        os.kill(os.getpid(), signal.SIGSTOP)

with clock.detect_pauses():
    start, really = clock.seconds_awake(), time.perf_counter()
    stop_for(0.7)
    awake, really = clock.seconds_awake() - start, time.perf_counter() - really
    pause = clock.take_pause()
    assert 0.5 < pause < really - awake + 0.01
    assert clock.take_pause() < 0.1
assert signal.getsignal(signal.SIGCONT) == signal.SIG_DFL

events = []
forward_and_backward = charlm.training.trainer.Trainer._forward_and_backward
def stop_within_a_step(trainer, batch):
    if trainer.step == 3:
        stop_for(1.0)
    return forward_and_backward(trainer, batch)

small = ["model.hidden_size=8", "training.steps=6", "training.log_every=1", "generation.length=5"]
small += ["training.device=cpu", "training.precision=float32", "training.threads=1"]
small += ["batches.batch_size=4", "batches.sequence_length=16", "training.report=false"]
whole = charlm.train("quickstart", text="text", name="whole", settings=small).folder
charlm.training.trainer.Trainer._forward_and_backward = stop_within_a_step
really = time.perf_counter()
stopped = charlm.train(
    "quickstart", text="text", name="run", settings=small, on_event=events.append
).folder
really = time.perf_counter() - really
charlm.training.trainer.Trainer._forward_and_backward = forward_and_backward
[pause] = [event for event in events if isinstance(event, Paused)]
assert 0.7 < pause.seconds < really, pause
logs = [[json.loads(x) for x in run.metrics.read_text().splitlines()] for run in (whole, stopped)]
assert [x["seconds"] for x in logs[1] if x.get("event") == "paused"] == [pause.seconds]
losses = [[x["loss"] for x in log if "loss" in x] for log in logs]
assert losses[0] == losses[1], losses
trained = [x for x in logs[1] if "loss" in x][-1]["seconds"]
assert trained < really - 0.7, (trained, really)
elapsed = read_checkpoint(stopped.last).training_counters["run"]["elapsed"]
assert elapsed < really - 0.7, (elapsed, really)

true_clock = time.perf_counter
def stop_for_an_hour(event):
    if isinstance(event, Stepped) and event.step.step == 2:
        time.perf_counter = lambda: true_clock() + 3600
        stop_for(0.1)

end = charlm.train(
    "quickstart",
    text="text",
    name="budget",
    settings=[*small, "training.budget=1800"],
    on_event=stop_for_an_hour,
)
assert end.step == 6, end.step
print("no time lost")
"""


@POSIX
def test_stopped_time_is_not_training_time(text_file: Path, tmp_path: Path) -> None:
    """Time during which the process is stopped is not training time.

    It counts towards no budget and no rate, is logged and reported, and changes no step.
    """
    text_file.rename(tmp_path / "text")
    assert python(STOPPED, tmp_path).endswith("no time lost")


def test_working_is_no_pause() -> None:
    with clock.detect_pauses():
        start = time.perf_counter()
        while time.perf_counter() - start < 0.2:
            pass
        clock.seconds_awake()
        assert clock.take_pause() == pytest.approx(0, abs=0.01)


def test_long_gap_without_signal_is_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a signal that tells it, a long time without computing counts as a pause."""
    monkeypatch.setattr(clock, "_clock", clock._PauseClock())  # other tests keep their clock
    before = clock.seconds_awake()
    really = time.perf_counter()
    monkeypatch.setattr(time, "perf_counter", lambda: really + 7200.0)
    assert clock.seconds_awake() - before < 1
    assert clock.take_pause() == pytest.approx(7200, abs=5)
