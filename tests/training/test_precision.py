"""What computed is what is recorded, and a precision that is asked for belongs to one thread."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.commands import SMALL
from support.commands import run as command
from support.kernels import needs_compiler
from support.training import train

from charlm.cli.descriptions import describe_engine
from charlm.config.schema import ModelConfig
from charlm.kernels import compiler, loading
from charlm.kernels.loading import Precision, computing_in
from charlm.models.language_model import LanguageModel
from charlm.prediction.scoring import protocol
from charlm.runs.checkpoint import read_checkpoint
from charlm.runs.folder import RunFolder
from charlm.training import calibration, thread_trials
from charlm.training.determinism import engine
from charlm.training.events import Event, Started

BFLOAT16 = "training.precision=bfloat16"
EQUATIONS = "model.implementation=equations"


def make_model(**keys: Any) -> LanguageModel:
    sizes = {"hidden_size": 24, "embedding_size": 8}
    model = LanguageModel(ModelConfig.model_validate(sizes | keys), 12)
    model.initialize(torch.Generator().manual_seed(0))
    return model


def in_use(model: LanguageModel) -> str:
    return model.precision


def results(model: LanguageModel, precision: Precision) -> list[torch.Tensor]:
    """Everything that a model computes, when it is asked for this precision."""
    ids = torch.randint(12, (9, 5), generator=torch.Generator().manual_seed(1))
    model.precision = precision
    loss, state = model.eval().loss(ids[:-1], ids[1:], model.initial_state(5))
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    with torch.no_grad():
        logits, _ = model(ids, model.initial_state(5))
    return [loss, logits, *gradients, *state[0]]


def without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (loading, calibration):
        monkeypatch.setattr(module, "library", lambda: None)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "mogrifier"])
@pytest.mark.parametrize("engine", ["fused", "equations", "no kernels"])
def test_precision_is_what_is_computed(
    cell: str, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the kernels do not run, not a bit differs from float32, the softmax layer included."""
    if engine == "no kernels":
        without_kernels(monkeypatch)
    model = make_model(cell=cell, implementation="equations" if engine == "equations" else "fused")
    single, half = results(model, "float32"), results(model, "bfloat16")
    expected = "bfloat16" if engine == "fused" and compiler.library() else "float32"
    assert model.precision == expected
    same = [torch.equal(one, other) for one, other in zip(single, half, strict=True)]
    assert all(same) if expected == "float32" else not any(same)


def test_another_device_computes_in_float32() -> None:
    model = make_model().to("meta")
    model.precision = "bfloat16"
    assert in_use(model) == "float32"
    assert engine(model) == "PyTorch's kernels"


def started(text: Path, runs: Path, *settings: str) -> tuple[RunFolder, Started]:
    events: list[Event] = []
    run = train(text, runs, "training.steps=2", *settings, on_event=events.append)
    return run, next(event for event in events if isinstance(event, Started))


def recorded(run: RunFolder, name: str = "precision") -> str:
    (entry,) = json.loads((run.path / "environment.json").read_text("utf-8"))
    return str(entry[name])


@pytest.mark.parametrize("reason", ["equations", "no kernels"])
def test_run_records_its_precision(
    reason: str, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the screen, too, with what was asked for; the checkpoint keeps that for elsewhere."""
    if reason == "no kernels":
        without_kernels(monkeypatch)
    how = [EQUATIONS] if reason == "equations" else []
    run, event = started(text_file, tmp_path, BFLOAT16, *how)
    assert recorded(run) == "float32"
    assert recorded(run, "kernels") == engine(event.model)
    assert ("equations" in engine(event.model)) == (reason == "equations")
    assert "float32 (instead of bfloat16, which needs the compiled kernels" in describe_engine(
        event
    )
    assert read_checkpoint(run.last).compute.precision == "bfloat16"
    run, event = started(text_file, tmp_path, "training.precision=auto", *how)
    assert recorded(run) == read_checkpoint(run.last).compute.precision == "float32"
    assert "bfloat16" not in describe_engine(event)


@needs_compiler
def test_a_run_in_bfloat16_says_so(text_file: Path, tmp_path: Path) -> None:
    run, event = started(text_file, tmp_path, BFLOAT16)
    assert recorded(run) == "bfloat16"
    assert ", bfloat16, " in describe_engine(event)


@needs_compiler
def test_threads_are_watched(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs of the kernels change their threads, in both precisions; the equations keep them."""
    sent: list[float] = []

    def watch(most: int) -> Any:
        while True:
            sent.append((yield))

    monkeypatch.setattr(thread_trials, "watch_threads", watch)
    for number, how in enumerate([[], [BFLOAT16]], start=1):
        train(text_file, tmp_path, "training.steps=2", *how)
        assert len(sent) == 2 * number
    sent.clear()
    train(text_file, tmp_path, "training.steps=2", EQUATIONS)
    train(text_file, tmp_path, "training.steps=2", BFLOAT16, EQUATIONS)
    assert sent == []


def test_protocol_names_bfloat16() -> None:
    """A protocol names products that are not in float32."""
    assert protocol(1, "bfloat16") == protocol(1, "float32")
    assert protocol(4, "bfloat16") == f"{protocol(4, 'float32')}, products in bfloat16"


@needs_compiler
@pytest.mark.parametrize(
    ("precision", "rows", "is_said"),
    [("bfloat16", 2, True), ("bfloat16", 1, False), ("float32", 2, False)],
)
def test_a_score_in_bfloat16_says_so(
    precision: str, rows: int, is_said: bool, text_file: Path, tmp_path: Path
) -> None:
    result = command(
        *("train", "quickstart", "--text", text_file, "--runs", tmp_path, *SMALL, "--quiet"),
        *("--set=training.steps=2", "--set", f"training.precision={precision}"),
    )
    run = result.stdout.strip()
    options = ["--rows", rows, "--split", "train"]
    said = json.loads(command("eval", run, *options, "--json").stdout)["protocol"]
    assert ("products in bfloat16" in said) == is_said
    assert ("in bfloat16" in " ".join(command("eval", run, *options).stdout.split())) == is_said


def in_another_thread(action: Callable[[], object]) -> None:
    thread = threading.Thread(target=action)
    thread.start()
    thread.join()


@needs_compiler
def test_precision_belongs_to_one_thread() -> None:
    """A requested precision applies to one thread only."""
    model, elsewhere = make_model(), list[str]()
    model.precision = "bfloat16"
    with computing_in("float32"):
        assert in_use(model) == "float32"
        in_another_thread(lambda: elsewhere.append(in_use(model)))
        with computing_in("bfloat16"):
            assert in_use(model) == "bfloat16"
        assert in_use(model) == "float32"
    assert in_use(model) == "bfloat16"
    assert elsewhere == ["bfloat16"]


@needs_compiler
@pytest.mark.parametrize(
    ("precision", "rows", "is_said"),
    [("bfloat16", 2, True), ("bfloat16", 1, False), ("float32", 2, False)],
)
def test_a_validation_in_bfloat16_says_so(
    precision: str, rows: int, is_said: bool, text_file: Path, tmp_path: Path
) -> None:
    """Once on the screen, and in the metrics; one stream is scored in float32."""
    settings = [f"training.precision={precision}", f"training.validation_rows={rows}"]
    settings += ["training.steps=4", "corpus.split=[0.5,0.5,0]", "training.validate_every=2"]
    options = [option for setting in settings for option in ("--set", setting)]
    result = command(
        "train", "quickstart", "--text", text_file, "--runs", tmp_path, *SMALL, *options
    )
    shown = [line for line in result.stderr.splitlines() if "validation loss" in line]
    assert ["products in bfloat16" in line for line in shown] == [is_said, False]
    log = (Path(result.stdout.splitlines()[-1]) / "metrics.jsonl").read_text("utf-8")
    lines = [line for line in map(json.loads, log.splitlines()) if "validation_loss" in line]
    precisions = {line["validation_precision"] for line in lines}
    assert precisions == {"bfloat16" if is_said else "float32"}
