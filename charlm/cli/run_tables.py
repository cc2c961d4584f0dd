"""Print tables with a row for each run."""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain

from rich.table import Table

from charlm.cli.console import print_table, results
from charlm.prediction.comparison import (
    ScoredRun,
    Spread,
    groups_by_seed,
    one_of_each_seed,
    why_not_comparable,
)
from charlm.prediction.perplexity import Score
from charlm.runs.finding import names_of_runs

_MEASURES: dict[str, Callable[[Score], float]] = {
    "perplexity": lambda score: score.perplexity,
    "bits per character": lambda score: score.bits_per_character,
    "bits per byte": lambda score: score.bits_per_byte,
}


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


def show_scores(runs: Sequence[ScoredRun]) -> None:
    """Print a row for each run, and mean ± deviation of runs that differ only in their seed.

    The lines below say whether the scores are comparable, and how they were computed.
    """
    has_unknown = any(run.score.unknown_characters for run in runs)
    measures = [name for name in _MEASURES if has_unknown or name != "bits per byte"]
    table = table_of_runs(("run", "text", "cell"), ("parameters", "steps"), measures)
    groups = groups_by_seed(runs)
    ordered = list(chain(*groups))
    names = names_of_runs([run.checkpoint for run in ordered])
    rest = iter(names)
    for group in groups:
        for run in group:
            step = "" if run.step is None else f"{run.step:,}"
            facts = next(rest), run.text, run.config.cells, f"{run.num_parameters:,}", step
            figures = [(f"{_MEASURES[name](run.score):.4f}", "") for name in measures]
            table.add_row(*facts, *chain(*figures))
        if len(seeds := one_of_each_seed(group)) > 1:
            spreads = (
                Spread.of([_MEASURES[name](run.score) for run in seeds]) for name in measures
            )
            figures = [cells_of(spread) for spread in spreads]
            label = f"mean ± standard deviation, {len(seeds)} seeds"
            table.add_row(label, "", "", "", "", *chain(*figures), style="bold")
    print_table(table)
    console = results()
    if reason := why_not_comparable([run.score for run in runs]):
        console.print_wrapped(f"not comparable: {reason}")
    protocols: dict[str, list[str]] = {}
    for run, name in zip(ordered, names, strict=True):
        protocols.setdefault(run.score.protocol, []).append(name)
    for protocol, its_runs in protocols.items():
        whose = f" of {', '.join(its_runs)}" if len(protocols) > 1 else ""
        console.print_wrapped(f"protocol{whose}: {protocol}")
