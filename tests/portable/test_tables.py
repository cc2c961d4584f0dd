"""The tables equal the functions, and their digest is that of the format."""

from collections.abc import Callable

import numpy as np
import pytest

from charlm.portable import tables


def test_tables_are_those_of_the_format() -> None:
    """A change of a single number would make compressed files unreadable."""
    assert tables.digest() == tables.DIGEST


@pytest.mark.parametrize(
    ("table", "function"),
    [
        (tables.sigmoid_table, lambda x: 1 / (1 + np.exp(-x))),
        (tables.tanh_table, np.tanh),
    ],
)
def test_values_are_nearest(
    table: Callable[[], np.ndarray], function: Callable[[np.ndarray], np.ndarray]
) -> None:
    """Each value is the nearest multiple of 2^−15."""
    x = (np.arange(2 * tables.HALF) - tables.HALF) / 2**tables.STEP_BITS
    assert np.abs(table() - function(x) * 2**tables.VALUE_BITS).max() <= 0.5 + 1e-9


def test_powers_are_nearest() -> None:
    x = np.arange(2**tables.POWER_STEP_BITS) / 2**tables.POWER_STEP_BITS
    assert np.abs(tables.power_table() - 2.0 ** (tables.POWER_BITS - x)).max() <= 0.5 + 1e-6
