"""Draw a curve in a terminal."""

from collections.abc import Sequence
from typing import NamedTuple

_LEAST_POINTS = 4
_ROWS = 8
_MOST_COLUMNS, _LEAST_COLUMNS = 56, 20
"""Widths of the area; a narrower terminal gets no curve."""
_EIGHTHS = " ▁▂▃▄▅▆▇█"
_HALVES = " .:#"
"""Heights of a cell in ASCII: empty, low, high, full."""
_FLOOR = 0.08
"""Height of the lowest value: the curve has a mark in every column."""


class Point(NamedTuple):
    """A value after a number of steps."""

    step: int
    value: float


def draw(
    points: Sequence[Point],
    title: str,
    *,
    has_blocks: bool,
    width: int = 80,
    ends: tuple[str, str] | None = None,
) -> list[str]:
    """Draw values over steps as an area: a title, eight rows with their range, and the steps.

    `ends` are other words for the first and the last step. Returns no lines if the points are too
    few, or all equal, or if they do not fit into `width`.
    """
    if len(points) < _LEAST_POINTS or points[-1].step <= points[0].step:
        return []
    values = [point.value for point in points]
    lowest, highest = min(values), max(values)
    labels = {0: f"{highest:.2f}", _ROWS - 1: f"{lowest:.2f}"}
    margin = max(map(len, labels.values()))
    columns = min(_MOST_COLUMNS, width - margin - 2)
    if lowest == highest or columns < _LEAST_COLUMNS or len(title) >= width:
        return []
    heights = [
        _FLOOR + (1 - _FLOOR) * (value - lowest) / (highest - lowest)
        for value in _columns(points, columns)
    ]
    marks = _EIGHTHS if has_blocks else _HALVES
    rows = [
        f"{labels.get(row, ''):>{margin}} {_row(heights, _ROWS - 1 - row, marks)}".rstrip()
        for row in range(_ROWS)
    ]
    first, last = ends or (f"{points[0].step:,}", f"step {points[-1].step:,}")
    axis = f"{'':{margin}} {first}{last:>{columns - len(first)}}"
    return [title, *rows, axis]


def _columns(points: Sequence[Point], number: int) -> list[float]:
    """Return `number` values at equal distances, interpolated linearly between the points."""
    first, last = points[0].step, points[-1].step
    columns, place = [], 0
    for column in range(number):
        step = first + (last - first) * column / (number - 1)
        while place < len(points) - 2 and points[place + 1].step < step:
            place += 1
        left, right = points[place], points[place + 1]
        share = min(1.0, (step - left.step) / max(1, right.step - left.step))
        columns.append(left.value + share * (right.value - left.value))
    return columns


def _row(heights: Sequence[float], row: int, marks: str) -> str:
    """Return the marks of a row; 0 is the lowest."""
    full = len(marks) - 1
    levels = [round((height * _ROWS - row) * full) for height in heights]
    return "".join(marks[min(full, max(0, level))] for level in levels)
