"""`train --auto`: what is chosen follows the text and the time, and what the user set stays."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from charlm import advice
from charlm.advice import choose_dropout, choose_size, weights_of
from charlm.cli import app
from charlm.config import Config, EnsembleConfig, TrainingConfig
from charlm.config_file import load_config


def speed(hidden_size: int) -> float:
    """A machine of 200 GFLOP/s."""
    return 2e11 / (6 * weights_of(hidden_size))


@pytest.mark.parametrize("seconds", [10.0, 60.0, 300.0, 3600.0])
def test_more_text_never_makes_the_model_smaller(seconds: float) -> None:
    sizes = [choose_size(10**power, seconds, speed)[0] for power in range(3, 9)]
    assert sizes == sorted(sizes)
    assert sizes[0] < 128


@pytest.mark.parametrize("characters", [10_000, 1_000_000, 30_000_000])
def test_more_time_never_makes_the_model_smaller(characters: int) -> None:
    chosen = [choose_size(characters, seconds, speed) for seconds in (1.0, 10.0, 60.0, 600.0, 36e3)]
    sizes = [size for size, _, _ in chosen]
    assert sizes == sorted(sizes)
    assert "too short" in chosen[0][2] or "cannot fill" in chosen[0][2]
    assert all(rate == speed(size) for size, rate, _ in chosen)


def test_dropout_grows_with_how_often_the_text_is_read() -> None:
    values = [choose_dropout(epochs) for epochs in (0.3, 1.0, 4.0, 16.0, 64.0, 1e3)]
    assert values == sorted(values)
    assert values[0] == values[1] == 0
    assert 0.3 < values[4] <= values[5] <= 0.5


def test_time_that_one_network_has_no_use_for_is_for_more() -> None:
    chosen = [advice.choose_ensemble(epochs) for epochs in (0.1, 5.0, 50.0, 500.0)]
    sizes = [ensemble.size for ensemble in chosen]
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (1, 3)
    assert chosen[-1].student > 0
    assert all(ensemble.ngram_order for ensemble in chosen)


@pytest.mark.parametrize(("compiled", "cell"), [(True, "mogrifier"), (False, "lstm")])
def test_the_cell_is_one_that_is_fast_here(
    compiled: bool, cell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advice, "can_compile", lambda config: compiled)
    monkeypatch.setattr(advice, "measured_speed", lambda config, cell, vocabulary, size: 1e4)
    chosen = advice.advise(Config(), 100_000, 50)
    assert chosen.config.model.cell == cell
    assert "a mogrifier" in chosen.reasons[0] if compiled else "an LSTM" in chosen.reasons[0]


def test_members_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advice, "measured_speed", lambda config, cell, vocabulary, size: 1e5)
    five = Config(ensemble=EnsembleConfig(members=5), training=TrainingConfig(budget=100.0))
    shared = advice.advise(five, 1_000_000, 50, keep_ensemble=True)
    assert shared.config.ensemble == five.ensemble
    assert "20 seconds each" in " ".join(shared.reasons)
    assert "the text is read 2.0 times" in " ".join(shared.reasons)


def test_auto_says_why_and_leaves_what_was_set(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advice, "_MOST_EPOCHS", 2.0)
    command = ["train", "--auto", "--text", str(text_file), "--runs", str(tmp_path), "--name", "a"]
    settings = ["--budget", "20s", "--seed", "3", "--set", "model.cell=gru"]
    result = CliRunner().invoke(app, [*command, *settings])
    assert result.exit_code == 0, result.output
    for word in ("hidden size", "dropout", "n-grams", "a student", "epochs", "columns of"):
        assert word in result.stderr
    config = load_config(tmp_path / "a" / "config.yaml")
    assert (config.model.cell, config.training.seed, config.training.budget) == ("gru", 3, 20)
    assert config.model.hidden_size < 128
    assert config.training.epochs == 2
    assert config.ensemble == EnsembleConfig(members=2, student=0.4, ngram_order=7)
    settings += ["--set", "ensemble.members=1"]
    result = CliRunner().invoke(app, [*command[:-1], "alone", *settings])
    assert result.exit_code == 0, result.output
    alone = load_config(tmp_path / "alone" / "config.yaml")
    assert alone.ensemble == EnsembleConfig()
    assert "n-grams" not in result.stderr
    again = CliRunner().invoke(app, ["train", "--resume", str(tmp_path / "a"), "--auto"])
    assert again.exit_code == 1
    assert "--auto" in again.output
