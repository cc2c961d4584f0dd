"""`train --auto`: what is chosen follows the text and the time, and what the user set stays."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from charlm.cli.main import app
from charlm.config.load import load_config
from charlm.config.schema import Config, EnsembleConfig, TrainingConfig
from charlm.corpus.corpus import Corpus, Split, SplitName
from charlm.corpus.vocabulary import UNKNOWN_TYPE, Vocabulary
from charlm.kernels import compiler
from charlm.training import auto
from charlm.training.auto import choose_dropout, choose_size, weights_of


def speed(hidden_size: int) -> float:
    """A machine of 200 GFLOP/s."""
    return 2e11 / (6 * weights_of(hidden_size))


@pytest.mark.parametrize("seconds", [10.0, 60.0, 300.0, 3600.0])
def test_size_grows_with_the_text(seconds: float) -> None:
    """More text never makes the model smaller."""
    sizes = [choose_size(10**power, seconds, speed)[0] for power in range(3, 9)]
    assert sizes == sorted(sizes)
    assert sizes[0] < 128


@pytest.mark.parametrize("characters", [10_000, 1_000_000, 30_000_000])
def test_size_grows_with_the_time(characters: int) -> None:
    """More time never makes the model smaller."""
    chosen = [choose_size(characters, seconds, speed) for seconds in (1.0, 10.0, 60.0, 600.0, 36e3)]
    sizes = [size for size, _, _ in chosen]
    assert sizes == sorted(sizes)
    assert "too short" in chosen[0][2] or "too few" in chosen[0][2]
    assert all(rate == speed(size) for size, rate, _ in chosen)


def test_dropout_grows_with_the_epochs() -> None:
    """More epochs mean more dropout."""
    values = [choose_dropout(epochs) for epochs in (0.3, 1.0, 4.0, 16.0, 64.0, 1e3)]
    assert values == sorted(values)
    assert values[0] == values[1] == 0
    assert 0.3 < values[4] <= values[5] <= 0.5


@given(st.integers(1, 10**7))
def test_a_short_text_is_read_in_fewer_columns(characters: int) -> None:
    columns = auto.choose_columns(characters)
    assert columns == 32 or columns * 64 * 3 <= max(characters, 192) < 2 * columns * 64 * 3


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


def test_long_budgets_train_an_ensemble() -> None:
    """Time that one network cannot use is for more networks."""
    chosen = [auto.choose_ensemble(epochs, has_ngrams=True) for epochs in (0.1, 5.0, 50.0, 500.0)]
    sizes = [ensemble.size for ensemble in chosen]
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (1, 3)
    assert chosen[-1].student > 0
    assert all(ensemble.ngram_order for ensemble in chosen)


@pytest.mark.parametrize(("compiled", "cell"), [(True, "mogrifier"), (False, "lstm")])
def test_only_what_is_fast_here_is_chosen(
    compiled: bool, cell: str, rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto, "can_compile", lambda config: compiled)
    chosen = auto.advise(Config(), a_corpus(30_000_000))
    assert chosen.config.model.cell == cell
    assert (chosen.config.ensemble.ngram_order is not None) == compiled
    assert cell.upper() in chosen.reasons[0].upper()


@pytest.mark.skipif(compiler.library() is None, reason="no C++ compiler")
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
    assert "20 seconds each" in " ".join(shared.reasons)
    assert "reads the text about 2.0 times" in " ".join(shared.reasons)


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


@given(st.integers(1_000, 10**8), st.integers(2, 10**7), st.floats(0.05, 60.0))
def test_validation_takes_little_time(characters: int, validation: int, epochs: float) -> None:
    """Validation takes a small fraction of the time."""
    chosen = Config(training=TrainingConfig(validation_characters=100_000))
    corpus = a_corpus(characters, validation)
    every = auto.choose_interval(chosen, corpus, epochs)
    batches = chosen.batches
    trained = every * batches.batch_size * batches.sequence_length
    assert min(validation, 100_000) / 3 <= 0.051 * trained


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
    monkeypatch.setattr(auto, "_EPOCH_LIMIT", 1.0)
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
    monkeypatch.setattr(auto, "_EPOCH_LIMIT", 2.0)
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
    assert config.ensemble == EnsembleConfig(members=2, student=0.4, ngram_order=7)
    settings += ["--set", "ensemble.members=1", "--set", "ensemble.student=0"]
    result = CliRunner().invoke(app, [*command[:-1], "one", *settings])
    assert result.exit_code == 0, result.output
    assert load_config(tmp_path / "one" / "config.yaml").ensemble == EnsembleConfig(ngram_order=7)
    assert "their student" not in result.stderr
    assert "n-grams" in result.stderr
    again = CliRunner().invoke(app, ["train", "--resume", str(tmp_path / "a"), "--auto"])
    assert again.exit_code == 1
    assert "--auto" in again.output
