"""The same bits again: in one process, in two, and what is recorded of where they were computed."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from support.commands import refused, run, steps_logged
from support.texts import TEXT
from support.training import assert_same_weights, losses, train

import charlm
from charlm.config.schema import Config
from charlm.distributed.processes import Processes
from charlm.environment.processor import processor, processor_name
from charlm.errors import ConfigError
from charlm.kernels.compute import Compute
from charlm.runs.folder import RunFolder
from charlm.training import calibration, thread_trials
from charlm.training.determinism import deterministic
from charlm.training.events import Event, Stepped


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "mogrifier"])
@pytest.mark.parametrize("implementation", ["fused", "equations"])
def test_every_cell_is_deterministic(
    text_file: Path, tmp_path: Path, cell: str, implementation: str
) -> None:
    """And on a CPU they are those that it takes anyway."""
    settings = [
        *(f"model.cell={cell}", "batches.sampling=sequential", "model.dropout=0.2"),
        *(f"model.implementation={implementation}", "training.steps=2", "model.num_layers=2"),
    ]
    enabled = set()

    def on_event(event: Event) -> None:
        if isinstance(event, Stepped):
            enabled.add(torch.are_deterministic_algorithms_enabled())

    plain = train(text_file, tmp_path, *settings)
    strict = train(text_file, tmp_path, *settings, "training.deterministic=true", on_event=on_event)
    assert enabled == {True}
    assert not torch.are_deterministic_algorithms_enabled()
    assert losses(strict) == losses(plain)
    assert_same_weights(strict.last, plain.last)


OPTIONS = {
    "deterministic": ["--deterministic", "--set=training.threads=1"],
    "deterministic-2": ["--deterministic", "--set=model.cell=gru", "--set=training.threads=2"],
    "threads-2": [
        *("--set=model.cell=mogrifier", "--set=batches.sampling=random"),
        "--set=training.threads=2",
    ],
}


def words_of(name: str, text: Path, runs: Path) -> list[str]:
    """Return the words of a command that trains with the options of this name."""
    return [
        *("train", "quickstart", "--quiet", *OPTIONS[name]),
        *("--text", str(text), "--runs", str(runs), "--name", name),
        *("--set=training.steps=8", "--set=training.budget=null", "--set=training.log_every=1"),
        *("--set=model.hidden_size=48", "--set=model.dropout=0.2"),
        *("--set=batches.batch_size=16", "--set=batches.sequence_length=32"),
        *("--set=training.average=0.9", "--set=training.validate_every=3"),
    ]


EACH_COMMAND = """
import json, sys
from charlm.cli.main import main
for sys.argv[1:] in json.load(sys.stdin):
    try:
        main()
    except SystemExit as end:
        assert not end.code
"""


@pytest.fixture(scope="module")
def trained_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text, and below `other` the runs that another process trained on it."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "text.txt").write_text(TEXT, "utf-8")
    commands = [words_of(name, folder / "text.txt", folder / "other") for name in OPTIONS]
    subprocess.run(
        [sys.executable, "-c", EACH_COMMAND],
        input=json.dumps(commands).encode(),
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return folder


@pytest.mark.parametrize("name", OPTIONS)
def test_two_processes_give_the_same_bits(trained_elsewhere: Path, name: str) -> None:
    """This process and another have hash seeds and caches of memory of their own."""
    folder = trained_elsewhere
    assert run(*words_of(name, folder / "text.txt", folder / "one")).exit_code == 0
    one, other = RunFolder(folder / "one" / name), RunFolder(folder / "other" / name)
    assert steps_logged(one.path) == steps_logged(other.path)
    assert one.samples.read_bytes() == other.samples.read_bytes()
    for path in ("last", "best"):
        assert_same_weights(getattr(one, path), getattr(other, path))


def test_no_measurement_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(*_: Any) -> Any:
        raise AssertionError("a clock was asked")

    monkeypatch.setattr(calibration, "measured_precision", measured)
    config = Config.model_validate({"training": {"deterministic": True}})
    assert calibration.choose_compute(config) == Compute("float32", calibration._ALL)


def test_missing_algorithm_is_one_line() -> None:
    """An operation without a deterministic algorithm raises an error with a remedy."""
    remedy = r"training\.deterministic.*training\.device=cpu"
    with pytest.raises(ConfigError, match=remedy), deterministic(True):
        torch.zeros(2).put_(torch.tensor([0]), torch.ones(1))
    with pytest.raises(RuntimeError, match="another"), deterministic(True):
        raise RuntimeError("another")
    assert not torch.are_deterministic_algorithms_enabled()


def test_each_start_is_recorded(text_file: Path, tmp_path: Path) -> None:
    folder = train(text_file, tmp_path, "training.steps=2", "training.seed=5").path
    charlm.resume(folder, settings=["training.steps=3"])
    first, second = json.loads((folder / "environment.json").read_text("utf-8"))
    assert set(first) == {
        *("began", "charlm", "python", "torch", "numpy", "system", "processor", "device"),
        *("processes", "resumed_at"),
        *("kernels", "threads", "precision", "deterministic", "seed", "fingerprint", "result"),
    }
    results = [start.pop("result") for start in (first, second)]
    assert [result["step"] for result in results] == [2, 3]
    assert {**first, "began": "", "resumed_at": 2} == {**second, "began": ""}
    assert first["began"] <= second["began"]
    assert (first["seed"], first["precision"], first["threads"]) == (5, "float32", 1)
    assert first["torch"] == torch.__version__
    assert first["processor"] in processor()
    assert processor_name()


def test_an_empty_record_is_begun_anew(text_file: Path, tmp_path: Path) -> None:
    """There is nothing in it to lose."""
    made = train(text_file, tmp_path, "training.steps=2")
    made.environment.write_text("", "utf-8")
    charlm.resume(made.path)
    assert len(json.loads(made.environment.read_text("utf-8"))) == 1


@pytest.mark.parametrize("text", ["mine", "{", "[" * 100_000, '{"a": 1}', '[{"a": 1}]', "é"])
def test_a_foreign_record_is_left(text_file: Path, tmp_path: Path, text: str) -> None:
    """The message says to move it, and then the run resumes."""
    made = train(text_file, tmp_path, "training.steps=2")
    made.environment.write_text(text, "utf-8")
    refused(run("train", "--resume", made.path), "environment.json: not a file", "move it away")
    assert made.environment.read_text("utf-8") == text
    made.environment.unlink()
    made.environment.mkdir()
    refused(run("train", "--resume", made.path), "environment.json")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such file")
@pytest.mark.parametrize(
    "name", ["environment.json", "metrics.jsonl", "samples.txt", ".launch", "config.yaml.partial"]
)
def test_a_pipe_in_a_run_is_refused(text_file: Path, tmp_path: Path, name: str) -> None:
    """Whoever opened it would wait for somebody at its other end."""
    made = train(text_file, tmp_path, "training.steps=2")
    (made.path / name).unlink(missing_ok=True)
    os.mkfifo(made.path / name)
    refused(run("train", "--resume", made.path), name, "neither a file nor a folder")


def test_cublas_is_set_before_first_product(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With several processes, sharing gradients begins with one; cuBLAS reads it then."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    seen: list[object] = []
    share = Processes.share_gradients

    def share_gradients(self: Processes, model: torch.nn.Module) -> torch.nn.Module:
        seen.append(os.environ.get("CUBLAS_WORKSPACE_CONFIG"))
        seen.append(torch.are_deterministic_algorithms_enabled())
        return share(self, model)

    monkeypatch.setattr(Processes, "share_gradients", share_gradients)
    train(text_file, tmp_path, "training.steps=1", "training.deterministic=true")
    assert seen == [":4096:8", True]


def test_threads_are_not_changed_on_the_way(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[float] = []
    true_watch = thread_trials.watch_threads

    def watch(most: int) -> Any:
        inner = true_watch(most)
        next(inner)
        while True:
            sent.append((yield))

    monkeypatch.setattr(thread_trials, "watch_threads", watch)
    half = ["training.steps=3", "training.precision=bfloat16"]
    train(text_file, tmp_path, *half, "training.deterministic=true")
    assert sent == []
    train(text_file, tmp_path, *half)
    assert len(sent) == 3
