"""The result of a comparison: figures, differences with their intervals, and verdicts in words."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from charlm.analysis.block_bootstrap import LEVEL, NORMAL_QUANTILE, RESAMPLES, Interval
from charlm.analysis.compared_models import ComparedModel, bias, further_differences
from charlm.analysis.intervals import METHOD, METHOD_OF_RECORDS
from charlm.formatting import html_table
from charlm.prediction.perplexity import Score

_QUANTILES = 12.7062, 4.3027, 3.1824
"""Quantiles of Student's t at (1 + `LEVEL`) / 2, of 1, 2 and 3 degrees of freedom."""


@dataclass(frozen=True)
class Compared:
    """A run, or a group of runs that differ in their seed, against the first one."""

    name: str
    figures: tuple[float, ...]
    """Bits per character, or per byte, of each run."""
    difference: float = 0.0
    """Mean figure minus that of the first one: below 0 is better."""
    interval: Interval | None = None
    """95 % interval of the difference; None for the first one, and for a text too short."""
    block_length: int | None = None
    scores: tuple[Score, ...] = ()
    """The score of each run, with its protocol."""
    lack: str = ""
    """Why there is no interval of a difference; "" if there is one."""
    models: tuple[ComparedModel, ...] = ()
    """The model of each run."""

    @property
    def mean(self) -> float:
        return statistics.fmean(self.figures)

    @property
    def deviation(self) -> float | None:
        """Return the standard deviation between seeds; None for one run."""
        return statistics.stdev(self.figures) if len(self.figures) > 1 else None


@dataclass(frozen=True, repr=False)
class Comparison:
    """Models on the same characters; the others against the first one."""

    unit: str
    """What the figures are bits per: `character` or `byte`."""
    reason: str
    """Why they are bits per byte; "" if they are not."""
    characters: int
    """Number of characters compared: all but the first of the text."""
    compared: tuple[Compared, ...]
    seed: int = 0
    """Random seed of the bootstrap."""
    records: int | None = None
    """Number of records, which the bootstrap draws; None if it draws blocks of running text."""

    def verdict(self, one: Compared) -> str:
        """Say what the difference of a model from the first one shows, and what biases scores."""
        found = bias({model.name: model.scores for model in (self.compared[0], one)})
        return self._shown_by(one) + (f"; {found}" if found else "")

    def _shown_by(self, one: Compared) -> str:
        first, unit = self.compared[0], f"bits per {self.unit}"
        if one.interval is None:
            return (
                f"{one.name} and {first.name}: {one.difference:+.4f} {unit}, on a text that is "
                f"{one.lack}"
            )
        low, high = one.interval
        if low <= 0 <= high:
            return (
                f"no difference shown between {one.name} and {first.name}: {one.difference:+.4f} "
                f"{unit} (95 %: {low:+.4f} to {high:+.4f})"
            )
        low, high = sorted((abs(low), abs(high)))
        words = (
            f"{one.name} predicts this text {'better' if one.difference < 0 else 'worse'} than "
            f"{first.name}, by {abs(one.difference):.4f} {unit} (95 %: {low:.4f} to {high:.4f})"
        )
        by_seeds = _largest_by_seeds(one.figures, first.figures)
        if by_seeds is None:
            return f"{words}; other seeds may differ"
        is_within = abs(one.difference) <= by_seeds
        return f"{words}; {'no more' if is_within else 'more'} than seeds explain"

    @property
    def further_differences(self) -> str:
        """Say what else the models differ in, such as their size; "" if nothing is known."""
        return further_differences({one.name: one.models for one in self.compared})

    @property
    def verdicts(self) -> list[str]:
        """Return what the differences show, a sentence for each model but the first."""
        return [self.verdict(one) for one in self.compared[1:]]

    def __repr__(self) -> str:
        return f"Comparison({'; '.join(self.verdicts)})"

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows."""
        figures = [(one.name, f"{one.mean:.4f} bits per {self.unit}") for one in self.compared]
        verdicts = [("verdict", one) for one in self.verdicts]
        scored = ("characters compared", f"{self.characters:,}")
        notes = [("note", self.further_differences), ("note", self.reason)]
        return html_table([*figures, *verdicts, scored, *notes])

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as a JSON object."""
        runs = [
            {
                "name": one.name,
                "figures": list(one.figures),
                "mean": one.mean,
                "deviation": one.deviation,
                "difference": one.difference,
                "interval": one.interval and list(one.interval),
                "block_length": one.block_length,
                "verdict": verdict,
                "protocols": [score.protocol for score in one.scores],
            }
            for one, verdict in zip(self.compared, [None, *self.verdicts], strict=True)
        ]
        return {
            "unit": f"bits per {self.unit}",
            "reason": self.reason,
            "further_differences": self.further_differences,
            "characters": self.characters,
            "level": LEVEL,
            "method": f"{METHOD if self.records is None else METHOD_OF_RECORDS}, paired",
            "resamples": RESAMPLES,
            "seed": self.seed,
            "runs": runs,
        }


def _largest_by_seeds(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Return the largest difference of two means that the spread over seeds explains.

    It is that of a t-test at 95 % with the variance within both groups, so that a single run is
    taken to vary as the other group does. None for two single runs.
    """
    freedom = len(one) + len(other) - 2
    if not freedom:
        return None
    squares = [len(group) * statistics.pvariance(group) for group in (one, other)]
    variance = sum(squares) / freedom * (1 / len(one) + 1 / len(other))
    return student_quantile(freedom) * math.sqrt(variance)


def student_quantile(freedom: int) -> float:
    """Return the quantile of Student's t at (1 + `LEVEL`) / 2.

    From 4 degrees of freedom on by its expansion (Abramowitz and Stegun, 26.7.5), to 0.3 %.
    """
    if freedom <= len(_QUANTILES):
        return _QUANTILES[freedom - 1]
    z = NORMAL_QUANTILE
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return math.fsum(term / float(freedom**power) for power, term in enumerate(terms))
