"""Print tables with a row for each run."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

from rich.table import Table

from charlm.analysis.intervals import ScoreIntervals
from charlm.cli.console import print_table, results
from charlm.prediction.comparison import (
    ScoredRun,
    Spread,
    groups_by_seed,
    one_of_each_seed,
    unequal_steps,
    why_not_comparable,
)
from charlm.prediction.perplexity import Score
from charlm.runs.finding import names_of_runs

_MEASURES: dict[str, Callable[[Score], float]] = {
    "perplexity": lambda score: score.perplexity,
    "bits per character": lambda score: score.bits_per_character,
    "bits per byte": lambda score: score.bits_per_byte,
}
_INTERVAL = "95 % interval"
_EXPENDABLE = ("steps", "parameters", "cell", "text", "perplexity", _INTERVAL)
"""Columns to drop on a narrow terminal, the first one first."""


def table_of_runs(texts: Iterable[str], counts: Iterable[str], measures: Iterable[str]) -> Table:
    """Return an empty table: words, then numbers, then measures, each with its deviation."""
    table = Table(box=None, pad_edge=False)
    for heading in texts:
        table.add_column(heading, overflow="fold")
    for heading in counts:
        table.add_column(heading, justify="right")
    for heading in measures:
        table.add_column(heading, justify="right")
        table.add_column()  # deviations
    return table


def cells_of(spread: Spread) -> tuple[str, str]:
    """Return the cells of a mean and its deviation."""
    return f"{spread.mean:.4f}", f"± {spread.deviation:.4f}"


def show_scores(runs: Sequence[ScoredRun], intervals: Mapping[Path, ScoreIntervals]) -> None:
    """Print a row for each run, and mean ± deviation of runs that differ only in their seed.

    `intervals` are those of checkpoints. The lines below say whether the scores are comparable,
    and how they were computed.
    """
    has_unknown = any(run.score.unknown_characters for run in runs)
    measures = [name for name in _MEASURES if has_unknown or name != "bits per byte"]
    table = table_of_runs(("run", "text", "cell"), ("parameters", "steps"), measures)
    if intervals:
        table.add_column(_INTERVAL, justify="right")
    groups = groups_by_seed(runs)
    has_means, unequal = False, list[str]()
    ordered = list(chain(*groups))
    names = names_of_runs([run.checkpoint for run in ordered])
    rest = iter(names)
    for group in groups:
        for run in group:
            step = "" if run.step is None else f"{run.step:,}"
            facts = next(rest), run.text, run.config.cells, f"{run.num_parameters:,}", step
            figures = [(f"{_MEASURES[name](run.score):.4f}", "") for name in measures]
            table.add_row(*facts, *chain(*figures), *_interval(run, intervals))
        if len(seeds := one_of_each_seed(group)) > 1:
            spreads = (
                Spread.of([_MEASURES[name](run.score) for run in seeds]) for name in measures
            )
            figures = [cells_of(spread) for spread in spreads]
            has_means = True
            unequal.append(unequal_steps([run.step for run in seeds if run.step is not None]))
            label = f"mean of {len(seeds)} seeds"
            cells = label, "", "", "", "", *chain(*figures), *[""] * bool(intervals)
            table.add_row(*cells, style="bold")
    print_table(table, _EXPENDABLE)
    console = results()
    if intervals:
        console.print_wrapped(
            f"{_INTERVAL}: of the bits per character, for other text like this; `charlm compare` "
            "gives that of a difference, which is far narrower"
        )
    if has_means:
        console.print_wrapped("±: sample standard deviation over the seeds")
    for line in filter(None, unequal):
        console.print_wrapped(line)
    if reason := why_not_comparable([run.score for run in runs]):
        console.print_wrapped(f"not comparable: {reason}")
    protocols: dict[str, list[str]] = {}
    for run, name in zip(ordered, names, strict=True):
        protocols.setdefault(run.score.protocol, []).append(name)
    for protocol, its_runs in protocols.items():
        whose = f" of {', '.join(its_runs)}" if len(protocols) > 1 else ""
        console.print_wrapped(f"protocol{whose}: {protocol}")


def _interval(run: ScoredRun, intervals: Mapping[Path, ScoreIntervals]) -> list[str]:
    """Return the cell of a run's interval; no cell if no run has one."""
    found = intervals.get(run.checkpoint)
    if found is None:
        return [""] * bool(intervals)
    return ["{:.4f} to {:.4f}".format(*found.bits_per_character)]
