"""Axes of charts: where values lie on them, their ticks, and the points that can be told apart."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64

from charlm.formatting import short_count

Values = Float64[np.ndarray, " points"]
Kind = Literal["number", "count", "seconds"]

_MOST_DECADES = 300
"""Larger and smaller numbers than 10 to this power are no measurements."""
_SECONDS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400, 21_600, 43_200)
"""Steps between ticks of times up to a day."""


@dataclass(frozen=True)
class Scale:
    """Maps the values of an axis to fractions of its length."""

    low: float
    high: float
    is_log: bool = False
    kind: Kind = "number"
    most_ticks: int = 8

    @classmethod
    def of(
        cls,
        values: Values,
        *,
        is_log: bool = False,
        kind: Kind = "number",
        most_ticks: int = 8,
        rounds: bool = False,
    ) -> "Scale":
        """Return the scale of values; with `rounds`, it begins and ends at a tick."""
        known = values[usable(values, is_log=is_log)]
        low, high = (float(known.min()), float(known.max())) if len(known) else (1.0, 2.0)
        if high - low <= 1e-9 * max(abs(low), abs(high)):  # one value, to lie in the middle
            low, high = (
                (low / 2, high * 2) if is_log else (low - (abs(low) or 1), low + (abs(low) or 1))
            )
        scale = cls(low, high, is_log, kind, most_ticks)
        if rounds and not is_log:
            step = scale.step
            return cls(
                math.floor(low / step) * step,
                math.ceil(high / step) * step,
                False,
                kind,
                most_ticks,
            )
        return scale

    def fractions(self, values: Values) -> Values:
        """Return where values lie between the ends, as 0 and 1."""
        low, high = self._unlike(np.array([self.low, self.high]))
        found: Values = (self._unlike(values) - low) / (high - low)
        return found

    def _unlike(self, values: Values) -> Values:
        return np.log10(values) if self.is_log else values

    @cached_property
    def step(self) -> float:
        """Distance between the ticks of a linear scale."""
        least = (self.high - self.low) / self.most_ticks
        if self.kind == "seconds" and least > 0.5:
            days = [day * 86_400 for day in (1, 2, 5, 10, 20, 50, 100, 1000, 10_000)]
            return next((float(step) for step in (*_SECONDS, *days) if step >= least), least)
        power = 10.0 ** math.floor(math.log10(least))
        return next(
            factor * power for factor in (1, 2, 5, 10) if factor * power >= 0.999999 * least
        )

    @cached_property
    def ticks(self) -> list[float]:
        """Values with a line and a label."""
        if self.is_log and len(found := self._log_ticks()) > 2:
            return found
        first, last = (
            math.ceil(self.low / self.step - 1e-6),
            math.floor(self.high / self.step + 1e-6),
        )
        return [number * self.step for number in range(first, last + 1)]

    def _log_ticks(self) -> list[float]:
        low, high = math.log10(self.low), math.log10(self.high)
        factors = (1, 2, 5) if high - low < 2.5 else (1,)
        every = max(1, round((high - low) / self.most_ticks))
        powers = range(math.floor(low), math.ceil(high) + 1, every)
        ticks = [factor * 10.0**power for power in powers for factor in factors]
        return [tick for tick in ticks if self.low * 0.999999 <= tick <= self.high * 1.000001]

    def label(self, value: float) -> str:
        """Return a tick as text."""
        if self.kind == "count":
            return short_count(value).replace(".0", "")
        if self.kind == "seconds":
            for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
                if value >= size:
                    return f"{value / size:.3g} {unit}"
            return f"{value:.3g} s"
        if self.is_log:
            return f"{value:.3g}"
        return number_label(value, self.step)


def number_label(value: float, step: float) -> str:
    """Return a number with the digits that tell it from its neighbours, one step away."""
    if not 1e-4 <= step < 1e6:
        return f"{value:.3g}"
    digits = max(0, -math.floor(math.log10(step) + 1e-6))
    return f"{value:.{digits}f}".replace("-", "−") if round(value, digits) else "0"


def usable(values: Values, *, is_log: bool = False) -> np.ndarray:
    """Return which values an axis can show: finite ones, and positive ones on a logarithmic one."""
    with np.errstate(invalid="ignore"):
        known: np.ndarray = np.abs(values) < 10.0**_MOST_DECADES
        if is_log:
            known &= values > 10.0**-_MOST_DECADES
    return known


def decimate(x: Values, y: Values, columns: int) -> Int64[np.ndarray, " kept"]:
    """Return the indices of points that look like all: four in each column of pixels.

    These are the first and the last point of a column, and its lowest and highest. `x` ascends from
    0 to 1.
    """
    if len(x) <= 2 * columns:
        return np.arange(len(x))
    column = np.clip(x * columns, 0, columns - 1).astype(np.int64)
    begins = np.flatnonzero(np.diff(column, prepend=-1))
    ends = np.append(begins[1:], len(x))
    extremes = []
    for extreme in (np.minimum, np.maximum):
        of_column = np.repeat(extreme.reduceat(y, begins), ends - begins)
        places = np.flatnonzero(y == of_column)
        extremes.append(places[np.searchsorted(places, begins)])
    kept: Int64[np.ndarray, " kept"] = np.unique(np.concatenate([begins, ends - 1, *extremes]))
    return kept
