"""Figures of a benchmark: rates, their ratios, and losses since an earlier benchmark."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_MOST_LOSS_FRACTION = 0.15
"""Fraction that a ratio may lose before a check fails; machines vary by less."""


@dataclass(frozen=True)
class Benchmark:
    """Rates in characters per second unless their name says otherwise, and ratios between them."""

    machine: dict[str, Any]
    rates: dict[str, float] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"machine": self.machine, "rates": self.rates, "ratios": self.ratios}

    def add_rates(self, model: str, rates: Mapping[str, list[float]]) -> None:
        """Add the medians of the rates of a model's turns."""
        for name, turns in rates.items():
            self.rates[f"{model}: {name}"] = statistics.median(turns)

    def losses(self, earlier: Mapping[str, float]) -> dict[str, tuple[float, float]]:
        """Return both values of each ratio that is clearly below that of an earlier benchmark."""
        return {
            name: (earlier[name], ratio)
            for name, ratio in self.ratios.items()
            if name in earlier and ratio < (1 - _MOST_LOSS_FRACTION) * earlier[name]
        }
