"""Cells with drawn weights, for the systems of the textbook chapters.

Sections are cited as the chapters number them: 2.5.1, whose formulas are 2.6 and 2.7
(从神经网络到有隐含状态的循环神经网络); 6.2.1 to 6.2.3 (循环神经网络); §2 to §5 of the
chapter of code (RNN代码实例); the page on stacking `nn.RNN`; and 6.3 and 6.4 of the same
book as 6.2, on sampling and on training.
"""

from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from charlm.models.cells import Cell, GRUCell, LSTMCell, ReLUCell, RNNCell, State

Implementation = Literal["fused", "equations"]
CELLS = [RNNCell, ReLUCell, GRUCell, LSTMCell]
all_cells = pytest.mark.parametrize("cell_type", CELLS)
simple_cells = pytest.mark.parametrize("cell_type", [RNNCell, ReLUCell])
both_implementations = pytest.mark.parametrize("implementation", ["fused", "equations"])


def make_cell(
    cell_type: type[Cell],
    input_size: int,
    hidden_size: int,
    implementation: Implementation = "equations",
    seed: int = 0,
) -> Cell:
    """A cell in float64 whose weights and biases are drawn from N(0, 1)."""
    cell = cell_type(input_size, hidden_size, implementation).double()
    generator = torch.Generator().manual_seed(seed)
    for parameter in cell.parameters():
        nn.init.normal_(parameter, generator=generator)
    return cell


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some_state(cell: Cell, batch_size: int, seed: int = 2) -> State:
    return tuple(
        normal(batch_size, cell.hidden_size, seed=seed + number)
        for number in range(cell.num_states)
    )
