"""Tables of runs on a narrow terminal: whole columns, whole headings, names that stay apart."""

import sys

import pytest
from rich.cells import cell_len
from rich.table import Table
from support.screens import Screen

from charlm.cli.console import print_table, without_final_blanks
from charlm.cli.fitted_table import shortened

HEADINGS = ("run", "text", "parameters", "bits per character", "", "state")
ROWS = [
    (f"a-very-long-name-of-a-run-{number}", "novel.txt", "1,234", f"{number}.2345", "~*", "stopped")
    for number in range(3)
]


def lines_at(
    columns: int, monkeypatch: pytest.MonkeyPatch, *, keeps_names: bool = False
) -> list[str]:
    table = Table(box=None, pad_edge=False)
    for heading in HEADINGS:
        table.add_column(heading, justify="right" if heading in HEADINGS[2:4] else "left")
    for row in ROWS:
        table.add_row(*row)
    monkeypatch.setattr(sys, "stdout", out := Screen())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    print_table(table, ("parameters", "text"), keeps_names=keeps_names)
    return out.written.splitlines()


@pytest.mark.parametrize("columns", [20, 50, 60, 72, 80, 120, 200])
def test_a_row_is_a_line(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every width a run is one line, and headings, figures and their signs are whole."""
    heading, *lines = lines_at(columns, monkeypatch)
    assert len(lines) == len(ROWS)
    for word in ("run", "bits per character", "state"):
        assert word in heading
    assert len({line.split()[0] for line in lines}) == len(ROWS)
    for line, row in zip(lines, ROWS, strict=True):
        assert all(cell in line for cell in row[3:])
        assert columns < 60 or cell_len(line) < columns


def test_the_least_important_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    headings = {width: lines_at(width, monkeypatch)[0].split() for width in (120, 79, 66)}
    assert [("parameters" in one, "text" in one) for one in headings.values()] == [
        *((True, True), (False, True), (False, False)),
    ]


@pytest.mark.parametrize("columns", [40, 50, 60, 72, 80, 120, 200])
def test_kept_names_are_whole(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that keeps its names fits by other means: at last, names stand above the rows."""
    lines = lines_at(columns, monkeypatch, keeps_names=True)
    assert max(map(cell_len, lines)) < columns
    for name, *_, bits, mark, state in ROWS:
        (place,) = [number for number, line in enumerate(lines) if name in line]
        row = lines[place] if lines[place] != name else lines[place + 1]
        assert all(cell in row for cell in (bits, mark, state))


@pytest.mark.parametrize("width", range(1, 12))
@pytest.mark.parametrize("text", ["novel-17", "小説の名前-17"])
def test_names_are_shortened_in_the_middle(text: str, width: int) -> None:
    short = shortened(text, width)
    assert cell_len(short) <= width
    if cell_len(text) <= width:
        assert short == text
    elif width >= 6:
        assert short[0] == text[0]
        assert short[-1] == text[-1]


def test_final_blanks_take_linear_time() -> None:
    """Also those before the code that ends a style; a wide cell pads all other lines."""
    blanks = " " * 200_000
    assert without_final_blanks(f"a b{blanks}") == "a b"
    assert without_final_blanks(f"\x1b[1ma{blanks}\x1b[0m{blanks}") == "\x1b[1ma\x1b[0m"
    assert without_final_blanks(f"a{blanks}b") == f"a{blanks}b"
    assert without_final_blanks(blanks) == ""
