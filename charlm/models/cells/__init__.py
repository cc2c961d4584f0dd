"""Recurrent cells, one file each: the equations (`step`), and PyTorch's kernel (`fused`)."""

from charlm.models.cells.cell import Cell, State
from charlm.models.cells.gru import GRUCell
from charlm.models.cells.lstm import LSTMCell
from charlm.models.cells.mogrifier import MogrifierCell
from charlm.models.cells.rnn import ReLUCell, RNNCell

CELLS: dict[str, type[Cell]] = {
    "rnn": RNNCell,
    "gru": GRUCell,
    "lstm": LSTMCell,
    "mogrifier": MogrifierCell,
}
"""The cells by the value of `model.cell`."""

__all__ = ["CELLS", "Cell", "GRUCell", "LSTMCell", "MogrifierCell", "RNNCell", "ReLUCell", "State"]
