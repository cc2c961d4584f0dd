"""Each command that looks into a model works with every kind of model, also during its training."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.commands import refused, run
from support.texts import TEXT
from support.training import TINY

import charlm
from charlm.models.cells import CELLS
from charlm.training.events import Stepped

SETTINGS = [
    *TINY,
    "model.hidden_size=8",
    "training.steps=4",
    "training.save_every=2",
    "training.validate_every=2",
    "training.report=false",
]
KINDS = {
    **{cell: [f"model.cell={cell}"] for cell in CELLS},
    "bytes": ["corpus.unit=byte"],
    "ensemble": ["ensemble.members=2", "ensemble.ngram_order=2"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text to train on, and one with characters that no model of characters knows."""
    folder = tmp_path_factory.mktemp("every")
    (folder / "novel.txt").write_text(TEXT, "utf-8")
    (folder / "other.txt").write_text("The train (☃) came in.\n日本 looked up.\n" * 9, "utf-8")
    return folder


def trained(folder: Path, name: str, *settings: str, **options: Any) -> Path:
    every = [*SETTINGS, *settings]
    novel = folder / "novel.txt"
    return charlm.train(
        "quickstart", text=novel, runs=folder, name=name, settings=every, **options
    ).folder.path


@pytest.fixture(scope="module")
def models(folder: Path) -> dict[str, Path]:
    return {kind: trained(folder, kind, *settings) for kind, settings in KINDS.items()}


@pytest.fixture(scope="module")
def records(folder: Path) -> Path:
    (folder / "names.txt").write_text("anna\nbob\nzoe\n" * 90, "utf-8")
    (folder / "other-names.txt").write_text("zan\nö\nboba\n" * 10, "utf-8")
    settings = [*SETTINGS, "ensemble.members=1", "ensemble.ngram_order=2"]
    names = folder / "names.txt"
    return charlm.train(
        "names", text=names, runs=folder, name="records", settings=settings
    ).folder.path


def outputs(
    model: Path, first: Path, *member: str, text: str = "other.txt", size: str = "--length=50"
) -> dict[str, dict[str, Any]]:
    """Run each command with a model, and return what it printed for programs."""
    other = model.parent / text
    commands: dict[str, tuple[object, ...]] = {
        "eval": (model, "--baselines", "--text", other),
        "compare": (first, model, "--text", other),
        "surprise": (model, other),
        "activations": (model, other, *member),
        "context": (model, "--targets=20"),
        "originality": (model, size, "--seed=1"),
    }
    found = {}
    for name, arguments in commands.items():
        result = run(name, *arguments, "--json", "--quiet")
        assert result.exit_code == 0, f"{name}: {result.output}"
        found[name] = json.loads(result.stdout)
    page = model.parent / f"{model.name}.html"
    assert run("report", model, "-o", page).exit_code == 0
    assert page.exists()
    return found


def check(found: dict[str, dict[str, Any]], *, knows_all: bool) -> None:
    """Check that the commands agree on the text and on the model's score of it."""
    score = found["eval"]
    assert (score["unknown_characters"] == 0) == knows_all
    assert set(score["baselines"]) >= {"uniform", "n-grams", "xz"}
    assert found["surprise"]["bits_per_character"] == pytest.approx(score["bits_per_character"])
    compared = found["compare"]["runs"][1]
    per_byte = found["compare"]["unit"] == "bits per byte"
    same = score["bits_per_byte" if per_byte else "bits_per_character"]
    assert compared["mean"] == pytest.approx(same, rel=0.02)
    assert found["activations"]["features"]
    assert found["context"]["losses"]
    assert found["originality"]["generation"]


@pytest.mark.parametrize("kind", KINDS)
def test_each_command_reads_each_model(models: dict[str, Path], kind: str) -> None:
    """Every cell, bytes and an ensemble; a text with unknown characters."""
    member = ["--member=1"] * (kind == "ensemble")
    first = models["gru" if kind == "lstm" else "lstm"]
    check(outputs(models[kind], first, *member), knows_all=kind == "bytes")


def test_each_command_reads_records(records: Path) -> None:
    """An ensemble that reads a list; each record begins at the zero state."""
    first = shutil.copytree(records, records.parent / "records-again")
    found = outputs(records, first, "--member=1", text="other-names.txt", size="--items=9")
    check(found, knows_all=False)
    text = (records.parent / "other-names.txt").read_text("utf-8")
    assert found["surprise"]["text"] == text  # without the boundary before the first record
    assert len(found["surprise"]["bits"]) == found["surprise"]["characters"] == len(text)
    assert found["activations"]["characters"] == len(text)
    assert None not in found["surprise"]["bits"]


def test_a_model_in_training_is_read(models: dict[str, Path], folder: Path) -> None:
    """While its training holds the run folder; the training is the same as without."""
    found: dict[str, dict[str, Any]] = {}

    def look(event: object) -> None:
        if isinstance(event, Stepped) and event.step.step == 3:
            found.update(outputs(folder / "busy", models["gru"]))

    busy = trained(folder, "busy", on_event=look)
    check(found, knows_all=False)
    scores = [charlm.evaluate(charlm.load(path)).nats for path in (busy, models["lstm"])]
    assert scores[0] == scores[1]


def test_what_cannot_be_done_is_a_line(models: dict[str, Path], folder: Path) -> None:
    """A text that is missing or too short, and an ensemble's units, which are its networks'."""
    lstm, short = models["lstm"], folder / "short.txt"
    short.write_text("T", "utf-8")
    for name in ("eval", "context"):
        refused(run(name, lstm, "--text", short), "1 character")
    refused(run("compare", lstm, models["gru"], "--text", short), "1 character")
    for name in ("surprise", "activations"):
        refused(run(name, lstm, short), "1 character")
    for name in ("surprise", "activations", "originality"):
        refused(run(name, lstm, folder / "nothing.txt"), "nothing.txt")
    refused(run("data", "check", folder / "nothing.txt"), "nothing.txt")
    refused(run("activations", models["ensemble"], folder / "other.txt"), "--member 1 to 2")
    refused(run("report", folder / "no-run"), "no-run")
