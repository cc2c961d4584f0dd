"""The history of a run: curves, events, samples, and the command that repeats it."""

import json
import math
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.divergence import NOT_A_NUMBER
from support.training import PowerLossError, crash_at, train

import charlm
from charlm.analysis.repetition import command_to_repeat, differences
from charlm.analysis.run_history import read_history
from charlm.cli.setting_options import SETTING_OPTIONS
from charlm.config.load import config_names, load_config
from charlm.config.schema import Config
from charlm.errors import RunError
from charlm.runs.run import Run


def config_of(command: str) -> Config:
    """Return the config that the options of a `charlm train` command make."""
    _, _, name, *options = shlex.split(command)
    settings, texts = [], []
    words: Iterator[str] = iter(options)
    for option, value in zip(words, words, strict=True):
        if option == "--text":
            texts.append(value)
        elif option == "--set":
            settings.append(value)
        else:
            settings.append(f"{SETTING_OPTIONS[option].key}={value}")
    return load_config(name, settings, texts)


@pytest.mark.parametrize("name", config_names())
@pytest.mark.parametrize(
    "settings",
    [
        [],
        ["training.budget=10m", "training.epochs=null"],
        ["training.steps=5", "model.dropout=0.5", "training.deterministic=true"],
        ["corpus.encodings={/a b.txt: cp1252}", 'generation.prefix="it\'s\\n: \\"x\\" "'],
        ["training.start_from=/runs/a", "training.teachers=[/runs/b, /runs/c]"],
    ],
)
def test_the_command_repeats_the_config(name: str, settings: list[str]) -> None:
    """Typed into a shell, it makes the same config, with and without a text."""
    for text in ((), ("/texts/a novel's.txt", "/texts/*.md")):
        config = load_config(name, settings, text)
        assert config_of(command_to_repeat(config)) == config


def test_differences_name_both_values() -> None:
    config = Config().replace(model={"cell": "gru"})
    assert differences(config) == [("model.cell", '"gru"', '"lstm"')]
    assert differences(Config()) == []


def test_curves_are_the_lines_of_the_log(text_file: Path, tmp_path: Path) -> None:
    run = train(text_file, tmp_path, "training.steps=20", "training.validate_every=5")
    history = read_history(run.path)
    lines = Run(run.path).metrics()
    (network,) = history.networks
    assert network.member is None
    assert network.training["loss"].tolist() == [one["loss"] for one in lines if "loss" in one]
    assert network.validation["step"].tolist() == [5, 10, 15, 20]
    assert network.place_of(10, "characters") == 10 * 4 * 16
    assert [sample.step for sample in history.samples] == [5, 10, 15, 20]
    assert history.listed.state == "finished"
    assert history.result is not None
    assert history.machine["seed"] == 0
    assert history.uniform_bits == math.log2(len(charlm.load(run.path).vocabulary))
    lowest = min(one["validation_loss"] for one in lines if "validation_loss" in one)
    assert history.best_validation == lowest


def test_a_resumption_is_a_happening(text_file: Path, tmp_path: Path) -> None:
    """A run that was killed is read as far as it came; resumed, it says where."""
    settings = ["training.steps=20", "training.save_every=8"]
    with pytest.raises(PowerLossError):
        train(text_file, tmp_path, *settings, name="one", on_event=crash_at(13))
    with (tmp_path / "one" / "metrics.jsonl").open("a") as log:
        log.write('{"step": 14, "los')
    killed = read_history(tmp_path / "one")
    assert killed.networks[0].training["step"].tolist() == [*range(1, 14)]
    assert killed.networks[0].happenings == ()
    assert killed.listed.state == "stopped"
    charlm.resume(tmp_path / "one")
    (network,) = read_history(tmp_path / "one").networks
    assert [(one.kind, one.step) for one in network.happenings] == [("resumed", 8)]
    assert network.training["step"].tolist() == [*range(1, 21)]


def test_a_roll_back_is_a_happening(text_file: Path, tmp_path: Path) -> None:
    run = train(text_file, tmp_path, *NOT_A_NUMBER, "training.max_rollbacks=9")
    (network,) = read_history(run.path).networks
    assert network.happenings[0].kind == "rollback"
    assert network.happenings[0].step == 30
    assert "step" in network.happenings[0].text


def test_an_ensemble_has_a_curve_a_member(text_file: Path, tmp_path: Path) -> None:
    run = train(text_file, tmp_path, "ensemble.members=2", "training.steps=6")
    history = read_history(run.path)
    assert [one.member for one in history.networks] == [1, 2]
    assert all(one.training["step"].tolist() == [*range(1, 7)] for one in history.networks)
    assert history.uniform_bits is not None


def test_long_logs_keep_what_is_seldom(text_file: Path, tmp_path: Path) -> None:
    """Of a long log, every so many training lines are read, and all validations and events."""
    run = train(text_file, tmp_path, "training.steps=40", "training.validate_every=7")
    whole, some = Run(run.path).metrics(), Run(run.path).metrics(most=5)
    seldom = [line for line in whole if {"validation_loss", "event", "epoch_loss"} & line.keys()]
    assert [line for line in some if line in seldom] == seldom
    assert len(some) <= 5 + len(seldom)
    assert [line for line in whole if line in some] == some


def test_logs_are_not_trusted(text_file: Path, tmp_path: Path) -> None:
    """A value that is no number is a gap in its curve."""
    run = train(text_file, tmp_path, "training.steps=2")
    odd = {"step": True, "loss": "1", "characters": [1], "seconds": 10**400, "learning_rate": None}
    with run.metrics.open("a") as log:
        log.write(json.dumps(odd) + "\n" + '{"event": {"a": 1}, "step": "x", "seconds": 3}\n')
    (network,) = read_history(run.path).networks
    assert all(np.isnan(network.training[key][-1]) for key in ("step", "loss", "seconds"))
    assert network.happenings[0].step == 0


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run"):
        read_history(tmp_path / "nothing")
    with pytest.raises(RunError, match="contains no checkpoint"):
        read_history(tmp_path)
