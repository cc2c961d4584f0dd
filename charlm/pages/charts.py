"""Charts: the curves to draw over one axis, and what they are compared with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from charlm.pages.scales import Kind, Scale, Values, usable


@dataclass(frozen=True)
class Series:
    """A curve, or separate points."""

    name: str
    x: Values
    y: Values
    colour: int = 0
    style: Literal["line", "faint", "points"] = "line"


@dataclass(frozen=True)
class Level:
    """A horizontal line at a value that the curves are compared with."""

    name: str
    y: float


@dataclass(frozen=True)
class Mark:
    """A vertical line where something happened."""

    name: str
    x: float
    symbol: str


@dataclass(frozen=True)
class Chart:
    """What is drawn: curves over one axis, with what they are compared with."""

    name: str
    """An identifier that is unique on its page."""
    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    levels: Sequence[Level] = ()
    marks: Sequence[Mark] = ()
    x_kind: Kind = "count"
    y_kind: Kind = "number"
    log_x: bool = False
    log_y: bool = False
    right_label: str = ""
    right: Callable[[float], str] | None = None
    """Returns the label of a tick on the right, where the same axis has another unit."""

    @cached_property
    def shown(self) -> list[tuple[Series, Values, Values]]:
        """The series that have points, with those points, in the order of x."""
        found = []
        for series in self.series:
            known = usable(series.x, is_log=self.log_x) & usable(series.y, is_log=self.log_y)
            x, y = series.x[known], series.y[known]
            order = np.argsort(x, kind="stable")
            if len(x):
                found.append((series, x[order], y[order]))
        return found

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not self.shown

    @cached_property
    def x_scale(self) -> Scale:
        values = np.concatenate([x for _, x, _ in self.shown])
        if not self.log_x:
            values = np.append(values, 0.0)
        return Scale.of(values, is_log=self.log_x, kind=self.x_kind, most_ticks=8)

    @cached_property
    def y_scale(self) -> Scale:
        values = np.concatenate([y for _, _, y in self.shown])
        levels = np.array([level.y for level in self.levels], np.float64)
        values = np.append(values, levels)
        return Scale.of(values, is_log=self.log_y, kind=self.y_kind, most_ticks=6, rounds=True)

    @property
    def description(self) -> str:
        """What the curves show, in words."""
        x = self.x_scale
        lines = [f"{self.y_label} against {self.x_label}."]
        lines += [
            f"{series.name}: {ys[0]:.4g} at {x.label(xs[0])}, {ys[-1]:.4g} at {x.label(xs[-1])}, "
            f"lowest {ys.min():.4g}, highest {ys.max():.4g}."
            for series, xs, ys in self.shown
        ]
        lines += [f"{level.name}: {level.y:.4g}." for level in self.levels]
        lines += [f"{mark.name} at {x.label(mark.x)}." for mark in self.marks]
        return " ".join(lines)
