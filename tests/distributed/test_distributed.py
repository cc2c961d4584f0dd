"""Several processes train as one does: the same losses, the same checkpoints, one fate."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from support.commands import command, refused, run
from support.launches import torchrun, worker
from support.texts import TEXT
from support.training import PowerLossError, assert_same_weights, crash_at, lines

import charlm
from charlm.config.schema import BatchesConfig, ModelConfig
from charlm.corpus.batches import make_batches
from charlm.distributed.launch import launch_name
from charlm.distributed.processes import Processes, portion
from charlm.models.language_model import LanguageModel
from charlm.prediction.scoring import total_nats
from charlm.runs.checkpoint import read_checkpoint
from charlm.runs.folder import RunFolder

SETTINGS = [
    *("model.num_layers=2", "model.hidden_size=16", "model.embedding_size=8"),
    *("model.dropout=0.3", "model.embedding_dropout=0.2", "generation.length=20"),
    *("batches.batch_size=5", "batches.sequence_length=48", "training.steps=21"),
    "training.budget=null",
    *("training.validate_every=10", "training.save_every=5", "training.validation_rows=3"),
    *("training.precision=float32", "training.log_every=1", "corpus.split=[0.7, 0.3, 0]"),
]  # an epoch is of 15 or 16 steps; 5 columns, or 3 rows, are not divided by 2
KINDS = {
    "rnn": ["model.cell=rnn", "batches.sampling=random", "model.locked_dropout=true"],
    "gru": ["model.cell=gru", "batches.sampling=random", "training.accumulate=3"],
    "lstm": ["model.cell=lstm", "batches.sampling=random"],
    "rnn-carried": ["model.cell=rnn", "training.accumulate=2"],
    "gru-carried": ["model.cell=gru", "model.locked_dropout=true"],
    "lstm-carried": ["model.cell=lstm", "training.accumulate=4"],
    "mogrifier": ["model.cell=mogrifier", "batches.sampling=random", "training.accumulate=2"],
    "mogrifier-carried": ["model.cell=mogrifier", "model.num_layers=2"],
    "diverging": [
        *("model.cell=rnn", "model.nonlinearity=relu", "training.optimizer=sgd"),
        *("training.learning_rate=40", "training.warmup_steps=20", "training.schedule=constant"),
        *("training.max_gradient_norm=null", "training.rollback_factor=0.01"),
    ],  # at step 11, and calm after that
    "one-column": ["batches.batch_size=1", "training.steps=6"],
    "taught": ["training.teachers=TEACHER", "training.accumulate=2", "training.steps=6"],
}
"""Every cell with both samplings, a roll-back, fewer columns than processes, and a student."""
ROUNDED = {
    "bfloat16": [
        *("model.cell=lstm", "model.locked_dropout=true"),
        *("training.precision=bfloat16", "training.average=0.9"),
    ],
}
"""Two processes alone train these: in bfloat16 another order of sums is seen sooner."""


def charlm_by(launcher: list[str], *arguments: object) -> list[str]:
    return [*launcher, *command(*arguments)[1:]]


def training(text: Path, runs: Path, name: str, *settings: str) -> list[str]:
    sets = [f"--set={setting}" for setting in (*SETTINGS, *settings)]
    return ["train", "--text", str(text), "--runs", str(runs), "--name", name, *sets]


def when_at(metrics: Path, step: int, act: Callable[[], None]) -> None:
    """Act as soon as a step is logged."""
    deadline = time.monotonic() + 60
    while not metrics.exists() or f'"step": {step}' not in metrics.read_text("utf-8"):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    act()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text, and below `one` and `two` what that many processes made of it."""
    folder = tmp_path_factory.mktemp("parallel")
    text = folder / "text.txt"
    text.write_text(TEXT, "utf-8")
    teacher = str(folder / "one" / "lstm")
    kinds = {
        name: [setting.replace("TEACHER", teacher) for setting in kind]
        for name, kind in (KINDS | ROUNDED).items()
    }
    for name in KINDS:
        about: Any = {"text": text, "runs": folder / "one", "settings": [*SETTINGS, *kinds[name]]}
        charlm.train(**about, name=name)
    with pytest.raises(PowerLossError):
        runs, ends = folder / "two", crash_at(8)
        charlm.train(text=text, runs=runs, name="taken-up", settings=SETTINGS, on_event=ends)
    program = folder / "program.py"
    program.write_text(
        "import charlm\n"
        f"for name, kind in {kinds!r}.items():\n"
        f"    about = {{'text': {str(text)!r}, 'runs': {str(folder / 'two')!r}}}\n"
        f"    charlm.train(**about, name=name, settings=[*{SETTINGS!r}, *kind])\n"
        f"charlm.resume({str(folder / 'two' / 'taken-up')!r})\n",
        "utf-8",
    )
    done = subprocess.run(
        [*torchrun(2), str(program)], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def assert_alike(mine: RunFolder, theirs: RunFolder) -> None:
    """Their metrics are the same but for rounding."""
    ours, others = lines(mine), lines(theirs)
    assert len(ours) == len(others) > 0
    for line, other in zip(ours, others, strict=True):
        is_event = "event" in line  # in words
        assert line == (other if is_event else pytest.approx(other, rel=1e-4))


@pytest.mark.parametrize("name", KINDS)
def test_two_processes_train_as_one(place: Path, name: str) -> None:
    """Two processes train as one process does."""
    one, two = RunFolder(place / "one" / name), RunFolder(place / "two" / name)
    assert_alike(two, one)
    mine, theirs = (read_checkpoint(run.last).training_tensors for run in (two, one))
    assert mine.keys() == theirs.keys()
    for key in mine:  # the carried state of all columns, too
        torch.testing.assert_close(mine[key], theirs[key], rtol=1e-3, atol=1e-5)


def test_two_processes_roll_back(place: Path) -> None:
    """Two processes roll back at the same steps as one process."""
    one, two = (
        [line for line in lines(RunFolder(place / name / "diverging")) if "event" in line]
        for name in ("one", "two")
    )
    assert [(event["event"], event["step"], event["diverged_at"]) for event in one] == [
        ("rollback", 5, 10)
    ]
    assert two == one


def test_environment_records_processes(place: Path) -> None:
    """environment.json records the number of processes."""
    for name, number in (("one", 1), ("two", 2)):
        (entry,) = json.loads(RunFolder(place / name / "lstm").environment.read_text("utf-8"))
        assert entry["processes"] == number


def test_checkpoints_fit_any_number_of_processes(place: Path) -> None:
    """A checkpoint is resumed by another number of processes than wrote it."""
    assert_alike(RunFolder(place / "two" / "taken-up"), RunFolder(place / "one" / "lstm-carried"))
    folder = place / "two" / "lstm-carried"
    charlm.resume(folder, settings=["training.steps=30"])
    charlm.resume(place / "one" / "lstm-carried", settings=["training.steps=30"])
    assert_alike(RunFolder(folder), RunFolder(place / "one" / "lstm-carried"))


def kill(agent: subprocess.Popen[str], rank: int, metrics: Path) -> int:
    """Kill the process with this rank in the middle of the run; return the step it had reached."""
    reached = 0

    def act() -> None:
        nonlocal reached
        reached = metrics.read_text("utf-8").count('"gradient_norm"')  # a line a step
        os.kill(worker(agent, rank), signal.SIGKILL)

    when_at(metrics, 8, act)
    return reached


def taken_up_at(messages: str) -> int:
    """Return the step from which a run went on, as it says itself."""
    (step,) = re.findall(r"^training at step (\d+) in ", messages, re.MULTILINE)
    return int(step)


@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers below /proc")
@pytest.mark.parametrize("rank", [0, pytest.param(1, marks=pytest.mark.long)])
def test_restart_resumes_after_a_kill(place: Path, rank: int) -> None:
    """After a kill torchrun restarts all processes, and they resume the run."""
    ended = RunFolder(place / f"anew-{rank}" / "rnn-carried")
    arguments = training(
        place / "text.txt", ended.path.parent, "rnn-carried", *KINDS["rnn-carried"]
    )
    launcher = torchrun(2, "--max-restarts", "1", "--monitor-interval", "0.05")
    with subprocess.Popen(
        charlm_by(launcher, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as agent:
        reached = kill(agent, rank, ended.metrics)
        _, messages = agent.communicate(timeout=60)
    assert agent.returncode == 0, messages
    assert taken_up_at(messages) >= reached - 5  # one saving interval
    assert "Traceback" not in messages
    whole = RunFolder(place / "two" / "rnn-carried")
    assert lines(ended) == lines(whole)  # to the last bit
    assert_same_weights(ended.last, whole.last)
    assert_same_weights(ended.best, whole.best)


# --- what needs no second process ---------------------------------------------------------------


class Portion(Processes):
    """One of several processes, as far as columns and rows go."""

    def __init__(self, number: int, of: int) -> None:
        super().__init__()
        self._number, self._of = number, of

    def share(self, size: int) -> range:
        return portion(size, self._number, self._of)


@pytest.mark.parametrize("sampling", ["random", "sequential"])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shares_of_a_batch_are_the_batch(sampling: str, count: int) -> None:
    """The columns of all processes are those of the whole batch."""
    ids = np.arange(600, dtype=np.uint16)
    config = BatchesConfig.model_validate(
        {"sampling": sampling, "batch_size": 5, "sequence_length": 9}
    )
    whole = make_batches(ids, config, seed=3)
    shares = [make_batches(ids, config, 3, Portion(k, count).share) for k in range(count)]
    for _ in range(40):  # three epochs; the last random batch of one has fewer columns
        batch, parts = next(whole), [next(share) for share in shares]
        assert torch.equal(torch.cat([part.inputs for part in parts], 1), batch.inputs)
        assert torch.equal(torch.cat([part.targets for part in parts], 1), batch.targets)
        begins = np.cumsum([0, *(part.inputs.shape[1] for part in parts)])
        assert [part.first_column for part in parts] == begins[:-1].tolist()
        assert {part.num_predictions for part in parts} == {batch.targets.numel()}
        assert {part.continues for part in parts} == {batch.continues}


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_shares_of_streams_add_up(rows: int) -> None:
    """The shares of the streams add up to the score of all."""
    model = LanguageModel(ModelConfig(hidden_size=8, embedding_size=4), 7)
    model.initialize(torch.Generator().manual_seed(0))
    ids = np.random.default_rng(0).integers(0, 7, 1500).astype(np.uint8)
    whole = total_nats(model, ids, rows)
    for count in (2, 3, 8):
        parts = [total_nats(model, ids, rows, Portion(k, count)) for k in range(count)]
        assert sum(parts) == pytest.approx(whole, rel=1e-7)
        assert sum(part > 0 for part in parts) == min(rows, count)


def launched(
    monkeypatch: pytest.MonkeyPatch,
    rank: int,
    most_restarts: int = 0,
    size: int = 2,
    *,
    local_size: int | None = None,
    run_id: str = "test",
    restarts: int = 0,
) -> None:
    """Let this process look as if torchrun had started it."""
    local_size = local_size or size
    about = {
        **{"RANK": rank, "LOCAL_RANK": rank % local_size},
        **{"WORLD_SIZE": size, "LOCAL_WORLD_SIZE": local_size},
        "TORCHELASTIC_RUN_ID": run_id,
        "TORCHELASTIC_RESTART_COUNT": restarts,
        "TORCHELASTIC_MAX_RESTARTS": most_restarts,
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": 29500,
    }
    for name, value in about.items():
        monkeypatch.setenv(name, str(value))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bench"], ["bench", "without torchrun"]),
        (["bench", "--sweep"], ["bench", "without torchrun"]),
        (["generate"], ["generate", "without torchrun"]),
        (["train", "--auto", "--budget", "9s"], ["--auto", "without torchrun"]),
        (["train", "--set=ensemble.members=2"], ["ensemble", "without torchrun"]),
        (["train", "--text", "-"], ["torchrun", "--text"]),
    ],
)
def test_refusals_for_several_processes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    """What several processes cannot do is refused, by the first one only."""
    monkeypatch.chdir(tmp_path)
    launched(monkeypatch, rank=0)
    refused(run(*arguments), *words)
    launched(monkeypatch, rank=1)
    other = run(*arguments)
    assert (other.exit_code, other.stderr) == (1, "")  # it was said once
    assert not (tmp_path / "runs").exists()


def test_restarts_need_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Restarts are refused without the name of a run."""
    monkeypatch.chdir(tmp_path)
    launched(monkeypatch, rank=0, most_restarts=3)
    refused(run("train"), "--max-restarts", "--name")


@pytest.mark.parametrize("restarts", [0, 1])
def test_restarts_need_a_launch_id(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, restarts: int
) -> None:
    """On several machines, restarts are refused without an id that distinguishes launches.

    Else a new launch would be refused the name of an old run, restart, and resume that run.
    """
    monkeypatch.chdir(tmp_path)
    launched(monkeypatch, 0, most_restarts=3, local_size=1, run_id="none", restarts=restarts)
    refused(run("train", "--name", "run"), "--max-restarts", "--rdzv-id")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("local_size", "run_id", "is_told"),
    [(2, "none", True), (2, "mine", True), (1, "none", False), (1, "mine", True)],
)
def test_launch_names(
    monkeypatch: pytest.MonkeyPatch, local_size: int, run_id: str, is_told: bool
) -> None:
    """A launch is named by the parent process on one machine, else by its id."""
    launched(monkeypatch, 0, local_size=local_size, run_id=run_id)
    before = launch_name()
    assert bool(before) == is_told
    launched(monkeypatch, 0, local_size=local_size, run_id=run_id, restarts=1)
    assert launch_name() == before
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", "/tmp/a_x/id_y/attempt_0/0/error.json")
    first = launch_name()
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", "/tmp/a_x/id_y/attempt_1/0/error.json")
    assert launch_name() == first
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", "/tmp/a_z/id_z/attempt_0/0/error.json")
    assert (launch_name() != first) == (local_size == 2)  # machines have folders of their own


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("ensemble", [["--auto"], ["--set=ensemble.members=2"]])
def test_restarts_are_for_one_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ensemble: list[str], size: int
) -> None:
    """Restarts are refused for --auto and for an ensemble."""
    monkeypatch.chdir(tmp_path)
    launched(monkeypatch, rank=0, most_restarts=3, size=size)
    refused(run("train", "--name", "run", *ensemble), "leave out torchrun --max-restarts")
    assert not (tmp_path / "runs").exists()


# --- longer ones ---------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers below /proc")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_kill_ends_all_processes(place: Path, rank: int) -> None:
    """Where a process is killed, the others end with one line."""
    ended = RunFolder(place / f"killed-{rank}" / "rnn-carried")
    arguments = training(
        place / "text.txt", ended.path.parent, "rnn-carried", *KINDS["rnn-carried"]
    )
    with subprocess.Popen(
        charlm_by(torchrun(2), *arguments), stderr=subprocess.PIPE, text=True
    ) as agent:
        when_at(ended.metrics, 8, lambda: os.kill(worker(agent, rank), signal.SIGKILL))
        before = time.monotonic()
        _, messages = agent.communicate(timeout=60)
        assert time.monotonic() - before < 10
    assert agent.returncode != 0
    said = [line for line in messages.splitlines() if line.startswith("charlm: ")]
    assert len(said) == 1, messages
    assert f"process {1 - rank} of 2: another process has ended" in said[0]
    assert messages.count("Traceback") == 1  # torchrun's own, after that
    reached = lines(ended)[-1]["step"]
    saved = read_checkpoint(ended.last).training_counters["trainer"]["step"]
    assert reached - 5 <= saved <= reached
    again = charlm_by(torchrun(2), "train", "--resume", ended.path)
    subprocess.run(again, check=True, timeout=60, capture_output=True)
    whole = RunFolder(place / "two" / "rnn-carried")
    assert lines(ended) == lines(whole)
    assert_same_weights(ended.last, whole.last)


def in_step_8(folder: Path, act: str, when: str = "before", setup: str = "") -> list[str]:
    """Return a command line of two processes that do something before, or after, their 8th step.

    Each leaves its exit code in the folder.
    """
    program = folder / f"{when}.py"
    program.write_text(
        "import os, signal\n"
        "from datetime import timedelta\n"
        "from charlm.distributed import processes as parallel\n"
        "from charlm.cli.main import main\n"
        "from charlm.training.trainer import Trainer\n"
        "rank, true_step = int(os.environ['RANK']), Trainer.take_step\n"
        "def step(self, *arguments):\n"
        f"    if {when!r} == 'before' and self.step == 7: {act}\n"
        "    result = true_step(self, *arguments)\n"
        f"    if {when!r} == 'after' and self.step == 8: {act}\n"
        "    return result\n"
        f"Trainer.take_step = step\n{setup}\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        f"    with open({str(folder)!r} + f'/exit-{{rank}}', 'w') as file:\n"
        "        file.write(str(end.code))\n"
        "    raise\n",
        "utf-8",
    )
    return [*torchrun(2), str(program)]


def exit_codes(folder: Path) -> list[str]:
    """Return what the workers of `in_step_8` left with."""
    return [path.read_text("utf-8") for path in sorted(folder.glob("exit-*"))]


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal to send")
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize(("when", "last"), [("before", 8), ("after", 9)])
def test_a_stop_stops_all_processes(
    place: Path, tmp_path: Path, rank: int, when: str, last: int
) -> None:
    """A stop of one process stops all, after this step or the next."""
    ended = RunFolder(tmp_path / "gru-carried")
    arguments = training(place / "text.txt", tmp_path, "gru-carried", *KINDS["gru-carried"])
    asked = in_step_8(tmp_path, f"rank == {rank} and os.kill(os.getpid(), signal.SIGTERM)", when)
    done = subprocess.run(
        [*asked, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert "stopped and saved" in done.stderr
    assert exit_codes(tmp_path) == ["130", "130"]
    assert done.returncode == 1  # torchrun's own, whatever its workers leave with
    assert lines(ended)[-1]["step"] == last
    assert read_checkpoint(ended.last).training_counters["trainer"]["step"] == last
    charlm.resume(ended.path)
    assert_alike(ended, RunFolder(place / "one" / "gru-carried"))


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no groups of processes")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", ["rnn-carried", "bfloat16"])
def test_torchrun_passes_signals_on(
    place: Path, tmp_path: Path, name: str, number: signal.Signals
) -> None:
    """Ctrl-C or SIGTERM to torchrun stops all processes."""
    ended = RunFolder(tmp_path / name)
    arguments = training(place / "text.txt", tmp_path, name, *(KINDS | ROUNDED)[name])
    with subprocess.Popen(
        [*in_step_8(tmp_path, "pass"), *arguments],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as agent:
        when_at(ended.metrics, 7, lambda: os.killpg(agent.pid, number))
        _, messages = agent.communicate(timeout=60)
    assert messages.count("stopped and saved") == 1
    assert exit_codes(tmp_path) == ["130", "130"]
    assert agent.returncode == 1
    saved = read_checkpoint(ended.last).training_counters["trainer"]["step"]
    assert saved == lines(ended)[-1]["step"] < 21
    again = charlm_by(torchrun(2), "train", "--resume", ended.path)
    subprocess.run(again, check=True, timeout=60, capture_output=True)
    whole = RunFolder(place / "two" / name)
    assert lines(ended) == lines(whole)  # to the last bit
    assert_same_weights(ended.last, whole.last)


@pytest.mark.long
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_failing_disk_ends_all_processes(place: Path, tmp_path: Path, call: str) -> None:
    """A disk that fails in the first process, the writer, ends all and loses nothing."""
    ended = RunFolder(tmp_path / "gru-carried")
    arguments = training(place / "text.txt", tmp_path, "gru-carried", *KINDS["gru-carried"])
    fails = f"setattr(os, {call!r}, full)"
    setup = "def full(*arguments, **options): raise OSError(28, 'No space left on device')"
    done = subprocess.run(
        [*in_step_8(tmp_path, fails, setup=setup), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if line.startswith("charlm: ")]
    assert sum("No space left" in line for line in said) == 1, done.stderr
    assert all("No space left" in line or "another process has ended" in line for line in said)
    assert read_checkpoint(ended.last).training_counters["trainer"]["step"] == 5
    again = charlm_by(torchrun(2), "train", "--resume", ended.path)
    subprocess.run(again, check=True, timeout=60, capture_output=True)
    whole = RunFolder(place / "two" / "gru-carried")
    assert lines(ended) == lines(whole)
    assert_same_weights(ended.last, whole.last)


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers below /proc")
@pytest.mark.parametrize("rank", [0, 1])
def test_silent_process_times_out(place: Path, tmp_path: Path, rank: int) -> None:
    """A process that falls silent, as if its machine vanished, ends the others after a timeout."""
    arguments = training(place / "text.txt", tmp_path, "silent")
    silent = in_step_8(
        tmp_path,
        f"rank == {rank} and os.kill(os.getpid(), signal.SIGSTOP)",
        setup="parallel._PATIENCE_IN_STEPS = timedelta(seconds=4)",
    )
    with subprocess.Popen([*silent, *arguments], stderr=subprocess.PIPE, text=True) as agent:
        when_at(RunFolder(tmp_path / "silent").metrics, 7, lambda: None)
        stopped = worker(agent, rank)
        assert agent.stderr is not None
        said = next(line for line in agent.stderr if "cannot be reached" in line)
        os.kill(stopped, signal.SIGKILL)  # or torchrun itself would wait for it
        agent.communicate(timeout=60)
    assert said.startswith(f"charlm: process {1 - rank} of 2: ")


class Host(NamedTuple):
    """A machine: where it is reached, what a command there begins with, and its environment."""

    address: str
    enter: list[str]
    environment: dict[str, str]


def namespaces(held: ExitStack) -> list[Host]:
    """Return two network namespaces with a wire between them.

    A process in each holds it, and ends with the tests, however they end; with it goes the rest.
    """
    pids = []
    for _ in range(2):
        hold = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        held.enter_context(hold)
        assert hold.stdout is not None
        if not hold.stdout.readline():
            raise PermissionError("unshare --net")
        pids.append(hold.pid)
    hosts = [
        Host(
            f"10.77.0.{number}",
            ["nsenter", f"--net=/proc/{pid}/ns/net"],
            {"GLOO_SOCKET_IFNAME": "wire"},  # or it takes what the machine's name stands for
        )
        for number, pid in enumerate(pids, 1)
    ]
    wire = f"ip link add wire type veth peer name wire netns {pids[1]}"
    subprocess.run([*hosts[0].enter, *wire.split()], check=True, capture_output=True)
    for host in hosts:
        up = f"ip link set lo up; ip address add {host.address}/24 dev wire; ip link set wire up"
        subprocess.run([*host.enter, "sh", "-ec", up], check=True, capture_output=True)
    return hosts


@pytest.fixture(params=["namespaces", "loopback"])
def hosts(request: pytest.FixtureRequest) -> Iterator[list[Host]]:
    """Two machines that share their files, or this one in the part of both."""
    if request.param == "loopback":
        yield [Host("127.0.0.1", [], {})] * 2
        return
    with ExitStack() as held:
        try:
            found = namespaces(held)
        except (OSError, subprocess.CalledProcessError) as reason:
            pytest.skip(f"network namespaces cannot be made here ({reason})")
        yield found


def on_host(
    host: Host, cache: Path, options: list[str], arguments: list[str]
) -> subprocess.Popen[str]:
    """Start one process by torchrun on a machine."""
    return subprocess.Popen(
        [*host.enter, *charlm_by(torchrun(1, "--nnodes", "2", *options), *arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | host.environment | {"CHARLM_CACHE": str(cache)},
    )


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return str(free.getsockname()[1])


@pytest.mark.long
def test_two_machines_train_as_one(place: Path, tmp_path: Path, hosts: list[Host]) -> None:
    """Processes of two machines, each with its own cache, train as one process does."""
    arguments = training(place / "text.txt", tmp_path, "lstm", *KINDS["lstm"])
    meeting = ["--master-addr", hosts[0].address, "--master-port", free_port()]
    agents = [
        on_host(host, tmp_path / f"cache-{k}", [*meeting, "--node-rank", str(k)], arguments)
        for k, host in enumerate(hosts)
    ]
    messages = [agent.communicate(timeout=100)[1] for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], messages
    assert "training in" in messages[0]
    assert "training in" not in messages[1]
    assert_alike(RunFolder(tmp_path / "lstm"), RunFolder(place / "one" / "lstm"))


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers below /proc")
@pytest.mark.parametrize("number", [0, 1])
def test_a_kill_restarts_both_machines(
    place: Path, tmp_path: Path, hosts: list[Host], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a process is killed, the processes of both machines restart."""
    monkeypatch.setenv("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    ended = RunFolder(tmp_path / "rnn-carried")
    arguments = training(place / "text.txt", tmp_path, "rnn-carried", *KINDS["rnn-carried"])
    meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"{hosts[0].address}:{free_port()}"]
    meeting += ["--rdzv-id", "mine", "--max-restarts", "1", "--monitor-interval", "0.05"]
    with ExitStack() as held:
        agents = []
        for k, host in enumerate(hosts):
            about = [*meeting, "--local-addr", host.address]
            about += ["--rdzv-conf", f"is_host={1 - k}"]
            agent = on_host(host, Path(os.environ["CHARLM_CACHE"]), about, arguments)
            agents.append(held.enter_context(agent))
        reached = kill(agents[number], 0, ended.metrics)
        messages = [agent.communicate(timeout=100)[1] for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], messages
    assert taken_up_at("\n".join(messages)) >= reached - 5
    whole = RunFolder(place / "two" / "rnn-carried")
    assert lines(ended) == lines(whole)  # to the last bit
    assert_same_weights(ended.last, whole.last)


@pytest.mark.long
def test_three_processes_resume_exactly(place: Path) -> None:
    """Three processes resume bit for bit, although they add up three gradients in some order."""
    settings = [*KINDS["gru-carried"], "training.schedule=constant"]
    three, runs = torchrun(3), [RunFolder(place / "three" / name) for name in ("whole", "taken-up")]
    for ended, steps in zip(runs, (60, 33), strict=True):
        about = [*settings, f"training.steps={steps}"]
        arguments = training(place / "text.txt", ended.path.parent, ended.path.name, *about)
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
def test_budget_ends_all_at_the_same_step(place: Path) -> None:
    """A time budget ends all processes at the same step."""
    limits = ("training.steps=null", "training.budget=3s")
    arguments = training(place / "text.txt", place / "timed", "timed", *limits)
    done = subprocess.run(
        charlm_by(torchrun(2), *arguments),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    about = read_checkpoint(RunFolder(place / "timed" / "timed").last).training_counters
    assert 3 <= about["run"]["elapsed"] < 5
