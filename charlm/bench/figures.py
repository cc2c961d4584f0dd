"""Figures of a benchmark: rates, their ratios, and losses since an earlier benchmark."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_MAX_SLOWDOWN_FRACTION = 0.15
"""Fraction that a ratio may lose before a check fails; machines vary by less."""


@dataclass(frozen=True)
class Benchmark:
    """Rates in characters per second unless their name says otherwise, and ratios between them."""

    machine: dict[str, Any]
    rates: dict[str, float] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    emit: Callable[[str, str], None] = lambda name, value: None
    """Receives the name and the value of each figure as soon as it is measured."""

    def to_json(self) -> dict[str, Any]:
        return {"machine": self.machine, "rates": self.rates, "ratios": self.ratios}

    def add_rates(self, model: str, rates: Mapping[str, list[float]]) -> None:
        """Add the medians of the rates of a model's turns."""
        for name, turns in rates.items():
            self.add_rate(f"{model}: {name}", statistics.median(turns))

    def add_rate(self, name: str, rate: float) -> None:
        """Add a rate and emit it."""
        self.rates[name] = rate
        self.emit(name, f"{rate:,.0f}")

    def add_ratio(self, name: str, ratio: float) -> None:
        """Add a ratio and emit it."""
        self.ratios[name] = ratio
        self.emit(name, f"{ratio:.2f}")

    def add_products(self) -> None:
        """Add the limit of training on this machine: its fastest large products."""
        products = {p: self.rates[f"{p} products, GFLOP/s"] for p in ("float32", "bfloat16")}
        for precision, rate in products.items():
            self.emit(f"{precision} products, GFLOP/s", f"{rate:,.0f}")
        fastest = max(products, key=lambda precision: products[precision])
        limit = f"{products[fastest]:,.0f} GFLOP/s in {fastest}"
        self.add_machine(**{"limit of training": limit})

    def add_machine(self, **properties: Any) -> None:
        """Add properties of the machine and of this measurement, and emit them."""
        self.machine.update(properties)
        for name, value in properties.items():
            self.emit(name, str(value))

    def losses(self, earlier: Mapping[str, float]) -> dict[str, tuple[float, float]]:
        """Return both values of each ratio that is clearly below that of an earlier benchmark."""
        return {
            name: (earlier[name], ratio)
            for name, ratio in self.ratios.items()
            if name in earlier and ratio < (1 - _MAX_SLOWDOWN_FRACTION) * earlier[name]
        }
