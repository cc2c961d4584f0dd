"""`train --auto`: what is chosen follows the text and the time, and what the user set stays."""

import re
from pathlib import Path

import numpy as np
import pytest
from support.kernels import needs_compiler
from typer.testing import CliRunner

from charlm.cli.main import app
from charlm.config.load import load_config
from charlm.config.schema import Config, EnsembleConfig, TrainingConfig
from charlm.corpus.corpus import Corpus, Split, SplitName
from charlm.corpus.vocabulary import UNKNOWN_TYPE, Vocabulary
from charlm.training import auto


def a_corpus(characters: int, validation: int = 1000, symbols: int = 50) -> Corpus:
    def part(length: int) -> Split:
        return Split(
            np.ones(length, np.uint8), np.ones(symbols, np.uint8), np.zeros(0, UNKNOWN_TYPE)
        )

    parts: dict[SplitName, Split] = {
        "train": part(characters),
        "validation": part(validation),
        "test": part(1000),
    }
    return Corpus(Vocabulary(tuple(range(symbols))), "", parts, ())


@pytest.fixture
def rate(monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(auto, "measured_speed", lambda config, precision, vocabulary, size: 1e5)
    return 1e5


@pytest.mark.parametrize(("compiled", "cell"), [(True, "mogrifier"), (False, "lstm")])
def test_only_what_is_fast_here_is_chosen(
    compiled: bool, cell: str, rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mogrifier needs the kernels; n-grams, which numpy counts and mixes, do not."""
    monkeypatch.setattr(auto, "can_compile", lambda config: compiled)
    chosen = auto.advise(Config(), a_corpus(30_000_000))
    assert chosen.config.model.cell == cell
    assert chosen.config.ensemble.ngram_order == 7
    assert cell.upper() in chosen.reasons[0].upper()


@needs_compiler
def test_cell_depends_on_the_epochs(rate: float) -> None:
    """With many epochs, auto chooses an LSTM instead of a mogrifier."""
    cells = [auto.advise(Config(), a_corpus(10**power)).config.model.cell for power in (3, 5, 7, 8)]
    assert cells == ["lstm", "lstm", "mogrifier", "mogrifier"]


def test_no_ngrams_without_validation(rate: float) -> None:
    """Without a validation split, mixture weights cannot be fitted."""
    chosen = auto.advise(Config(), a_corpus(1_000_000, validation=0))
    assert chosen.config.ensemble.ngram_order is None


def test_members_share_the_time(rate: float) -> None:
    five = Config(ensemble=EnsembleConfig(members=5), training=TrainingConfig(budget=100.0))
    shared = auto.advise(five, a_corpus(1_000_000))
    assert shared.config.ensemble == five.ensemble
    assert "reads the text about 2.0 times" in " ".join(shared.reasons)


@pytest.mark.parametrize("characters", [20_000, 1_000_000, 50_000_000])
def test_reasons_divide_no_time(characters: int, rate: float) -> None:
    """The choices name no time: the budget is announced, and a measurement divides it."""
    chosen = auto.advise(Config(training=TrainingConfig(budget=30.0)), a_corpus(characters))
    assert not re.search(r"\d+(\.\d+)?( seconds|s\b|m\b)", "\n".join(chosen.reasons))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "what follows the same characters, the same words, and the same fields of the"),
        ({"records": "lines"}, "sequences of characters, which predict what records have in"),
        ({"unit": "byte"}, "sequences of bytes, which predict those that the text repeats"),
    ],
)
def test_only_running_text_has_phrases(settings: dict[str, str], words: str, rate: float) -> None:
    """The reason for n-grams speaks of words where there are sentences: not in lists or bytes."""
    chosen = auto.advise(Config.model_validate({"corpus": settings}), a_corpus(1_000_000))
    (reason,) = [one for one in chosen.reasons if one.startswith("n-grams")]
    assert words in reason


def test_settled_keys_are_not_chosen(rate: float) -> None:
    """Settled keys keep their values, and no reason names them."""
    config = Config.model_validate(
        {
            "model": {"cell": "gru", "hidden_size": 100, "num_layers": 2},
            "batches": {"batch_size": 7},
            "ensemble": {"members": 3},
            "training": {"budget": 600.0, "weight_decay": 0.3},
        }
    )
    settled = {"model.cell", "model.hidden_size", "batches.batch_size", "ensemble.members"}
    chosen = auto.advise(config, a_corpus(100_000), settled)
    assert (chosen.config.model.cell, chosen.config.model.hidden_size) == ("gru", 100)
    assert chosen.config.model.num_layers == 1
    assert chosen.config.batches.batch_size == 7
    assert chosen.config.ensemble.members == 3
    assert chosen.config.ensemble.ngram_order == 7
    assert chosen.config.training.weight_decay == 0.2
    said = " ".join(chosen.reasons)
    assert "hidden size" not in said
    assert "columns" not in said
    assert "n-grams" in said


def test_tied_weights_may_be_settled_alone(rate: float) -> None:
    """The file may set the sizes that tying needs: they are chosen, and stay equal."""
    tied = {"tie_weights": True, "hidden_size": 96, "embedding_size": 96}
    config = Config.model_validate({"model": tied})
    model = auto.advise(config, a_corpus(30_000_000), {"model.tie_weights"}).config.model
    assert model.tie_weights
    assert model.hidden_size == model.embedding_size != 96


@pytest.mark.parametrize(
    "settings",
    [
        ("model.dropout=0.3", "model.embedding_dropout=0.1"),
        ("model.tie_weights=true", "model.hidden_size=64"),
        ("model.tie_weights=true", "model.embedding_size=256"),
    ],
)
def test_any_key_of_the_model_may_be_settled(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: tuple[str, ...]
) -> None:
    monkeypatch.setattr(auto, "EPOCH_LIMIT", 1.0)
    command = ["train", "--auto", "--text", str(text_file), "--runs", str(tmp_path), "--name", "a"]
    sets = [f"--set={setting}" for setting in ("ensemble.members=1", *settings)]
    result = CliRunner().invoke(app, [*command, "--budget", "20s", *sets])
    assert result.exit_code == 0, result.output
    assert result.exception is None
    model = load_config(tmp_path / "a" / "config.yaml").model
    assert not model.tie_weights or model.embedding_size == model.hidden_size
    assert model.tie_weights or (model.dropout, model.embedding_dropout) == (0.3, 0.1)


def test_auto_says_why_and_leaves_what_was_set(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto, "EPOCH_LIMIT", 2.0)
    command = ["train", "--auto", "--text", str(text_file), "--runs", str(tmp_path), "--name", "a"]
    settings = ["--budget", "20s", "--seed", "3", "--set", "model.cell=gru"]
    result = CliRunner().invoke(app, [*command, *settings])
    assert result.exit_code == 0, result.output
    for word in ("hidden size", "dropout", "n-grams", "their student", "epochs", "columns of"):
        assert word in result.stderr
    config = load_config(tmp_path / "a" / "config.yaml")
    assert (config.model.cell, config.training.seed, config.training.budget) == ("gru", 3, 20)
    assert config.model.hidden_size < 128
    assert config.training.epochs == 2
    counts = EnsembleConfig(ngram_order=7, word_contexts=True, line_contexts=True, match_model=True)
    assert config.ensemble == counts.replace(members=2, student=0.5)
    settings += ["--set", "ensemble.members=1", "--set", "ensemble.student=0"]
    result = CliRunner().invoke(app, [*command[:-1], "one", *settings])
    assert result.exit_code == 0, result.output
    assert load_config(tmp_path / "one" / "config.yaml").ensemble == counts
    assert "their student" not in result.stderr
    assert "n-grams" in result.stderr
    again = CliRunner().invoke(app, ["train", "--resume", str(tmp_path / "a"), "--auto"])
    assert again.exit_code == 1
    assert "--auto" in again.output
