"""Recurrent cells, one file a family: the book's equation, and beside it the fast way to run it."""

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
"""The cells by the name that a config gives them."""

__all__ = ["CELLS", "Cell", "GRUCell", "LSTMCell", "MogrifierCell", "RNNCell", "ReLUCell", "State"]
