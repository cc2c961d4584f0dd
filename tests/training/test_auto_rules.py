"""The rules of `train --auto`: what they choose grows with the text and the time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.config.schema import Config, TrainingConfig
from charlm.training.auto_rules import (
    choose_batches,
    choose_cell,
    choose_dropout,
    choose_ensemble,
    choose_interval,
    choose_size,
    weights_of,
)


def speed(hidden_size: int) -> float:
    """A machine of 200 GFLOP/s."""
    return 2e11 / (6 * weights_of(hidden_size))


@pytest.mark.parametrize("seconds", [10.0, 60.0, 300.0, 3600.0])
def test_size_grows_with_the_text(seconds: float) -> None:
    """More text never makes the model smaller."""
    sizes = [choose_size(10**power, seconds, speed)[0] for power in range(3, 9)]
    assert sizes == sorted(sizes)
    assert sizes[0] < 128


def test_a_list_keeps_its_mogrifier_longer() -> None:
    """A list of records is overfitted later than running text; without kernels it is an LSTM."""
    cells = [
        [
            choose_cell(epochs, is_compiled=True, has_records=has_records)
            for epochs in (5.0, 15.0, 25.0)
        ]
        for has_records in (False, True)
    ]
    assert cells == [["mogrifier", "lstm", "lstm"], ["mogrifier", "mogrifier", "lstm"]]
    assert choose_cell(5.0, is_compiled=False, has_records=True) == "lstm"


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
    columns = choose_batches(characters).batch_size
    assert columns == 32 or columns * 64 * 3 <= max(characters, 192) < 2 * columns * 64 * 3


@pytest.mark.parametrize(
    ("characters", "num_read", "columns"),
    [
        (5_000_000, 5e6, 64),
        (5_000_000, 2e7, 32),  # four epochs
        (80_000_000, 2e6, 32),  # few steps
        (10_000, 5e6, 32),
        (5_000_000, 0.0, 32),
    ],
)
def test_a_long_text_is_read_in_more_columns(
    characters: int, num_read: float, columns: int
) -> None:
    """If it is read less than three times, in many steps."""
    assert choose_batches(characters, num_read).batch_size == columns


def test_long_budgets_train_an_ensemble() -> None:
    """Time that one network cannot use is for more networks."""
    chosen = [choose_ensemble(epochs, has_ngrams=True) for epochs in (0.1, 5.0, 50.0, 500.0)]
    sizes = [ensemble.size for ensemble in chosen]
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (1, 3)
    assert chosen[-1].student > 0
    assert all(ensemble.ngram_order for ensemble in chosen)


@given(st.integers(1_000, 10**8), st.integers(2, 10**7), st.floats(0.05, 60.0))
def test_validation_takes_little_time(characters: int, validation: int, epochs: float) -> None:
    """Validation takes a small fraction of the time."""
    chosen = Config(training=TrainingConfig(validation_characters=100_000))
    every = choose_interval(chosen, epochs * characters, validation)
    batches = chosen.batches
    trained = every * batches.batch_size * batches.sequence_length
    assert min(validation, 100_000) / 3 <= 0.051 * trained
