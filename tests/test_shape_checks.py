"""The annotations of charlm are checked in each call while the tests run."""

from typing import Any

import pytest
import torch
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import TypeCheckError

from charlm.formatting import count
from charlm.models.cells import LSTMCell


def test_wrong_types_are_refused() -> None:
    one: Any = "1"
    with pytest.raises(BeartypeCallHintViolation):
        count(one, "character")


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4, 1)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    cell = LSTMCell(4, 8)
    with pytest.raises(TypeCheckError):
        cell.equations(torch.zeros(shape), cell.initial_state(3))


def test_shapes_are_compared_with_each_other() -> None:
    """A name stands for one size within a call."""
    cell = LSTMCell(4, 8)
    with pytest.raises(TypeCheckError):
        cell.equations(torch.zeros(2, 3, 4), cell.initial_state(5))
