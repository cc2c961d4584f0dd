"""A terminal for the output of a view: what is written to it, and what it shows."""

import io
import re
from typing import Any

from rich.cells import cell_len

CODE = re.compile(r"\x1b\[[\d;]*([A-Za-z])")


class Screen(io.TextIOWrapper):
    """A stream in memory, perhaps a terminal; its width is then that in COLUMNS."""

    def __init__(self, *, is_terminal: bool = True) -> None:
        memory: Any = io.BytesIO()
        memory.name = "screen"
        super().__init__(memory, encoding="utf-8", newline="", write_through=True)
        self.__dict__["mode"] = "w"  # as `open` sets it
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal

    @property
    def written(self) -> str:
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode()


def shown(written: str, columns: int) -> list[str]:
    """Return the rows that a terminal shows: it wraps lines, goes back, and erases from there."""
    rows, row, column = [""], 0, 0
    for piece in re.findall(r"\x1b\[[\d;]*[A-Za-z]|[\s\S]", written):
        code = CODE.fullmatch(piece)
        if code is not None:
            assert code[1] in "mJ", piece
            if code[1] == "J":
                rows[row:] = [rows[row][:column]]
        elif piece == "\r":
            column = 0
        elif piece == "\n":
            row, column = row + 1, 0
            rows[row:row] = [""] if row == len(rows) else []
        else:
            if cell_len(rows[row][:column]) >= columns:
                row, column = row + 1, 0
                rows[row:row] = [""] if row == len(rows) else []
            rows[row] = f"{rows[row]:<{column}}"[:column] + piece + rows[row][column + 1 :]
            column += 1
    return rows
