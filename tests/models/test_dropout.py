"""Dropout drops as often as it is told to, however seldom, and keeps the mean."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from charlm.models.dropout import Masks, drop_units, drop_vectors, threshold

PLACES = (200, 100, 50)
"""A million units: time, columns, size."""


def of_units(probability: float) -> Tensor:
    return drop_units(torch.ones(PLACES), probability, Masks([1], PLACES[1]))


def of_vectors(probability: float) -> Tensor:
    return drop_vectors(torch.ones(20_000, 50), probability, Masks([1], 1))


@pytest.mark.parametrize("drop", [of_units, of_vectors], ids=["units", "vectors"])
@pytest.mark.parametrize("probability", [0.0005, 0.001, 0.002, 0.03, 0.3, 0.5, 0.998, 0.9995])
def test_dropped_share_is_the_probability(
    probability: float, drop: Callable[[float], Tensor]
) -> None:
    """Within five standard deviations and the rounding; the mean stays where it was."""
    dropped = drop(probability)
    deviation = (probability * (1 - probability) / dropped.numel()) ** 0.5
    rounding = 0.02 * min(probability, 1 - probability)
    share = (dropped == 0).float().mean().item()
    assert abs(share - probability) < 5 * deviation + rounding
    assert 0 < share < 1
    mean_deviation = deviation / (1 - probability)
    assert dropped.double().mean().item() == pytest.approx(1.0, abs=6 * mean_deviation)


@given(st.floats(1e-7, 1 - 1e-7))
def test_probability_is_rounded_slightly(probability: float) -> None:
    """A probability is rounded by two per cent at most."""
    _, values, dropped = threshold(probability)
    near = 0.02 * min(probability, 1 - probability)
    assert abs(dropped / values - probability) <= near
    assert 0 < dropped < values


@given(st.floats(0, 1, exclude_max=True))
def test_something_is_always_kept(probability: float) -> None:
    _, values, dropped = threshold(probability)
    assert 0 <= dropped < values


@pytest.mark.parametrize("probability", [0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5])
def test_usual_probabilities_take_one_byte(probability: float) -> None:
    """As random numbers cost time; presets have these."""
    assert threshold(probability) == (np.uint8, 256, round(256 * probability))


@pytest.mark.parametrize("probability", [0.0005, 0.03])
def test_masks_do_not_depend_on_division(probability: float) -> None:
    """A column has the same mask, however the batch is divided."""
    whole = drop_units(torch.ones(3, 150, 40), probability, Masks([3, 5], 150))
    for columns in (range(3, 60), range(60, 70), range(64, 150)):
        part = drop_units(torch.ones(3, len(columns), 40), probability, Masks([3, 5], 150, columns))
        assert torch.equal(part, whole[:, columns.start : columns.stop])
