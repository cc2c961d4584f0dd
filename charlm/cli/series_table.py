"""Print the table of a series of runs, fitted to the terminal."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from rich.table import Table

from charlm.cli.console import print_table, results
from charlm.cli.run_tables import cells_of
from charlm.formatting import count
from charlm.prediction.comparison import unequal_steps
from charlm.training.series_results import MEASURES, RunResult, SeriesFinished, SettingResults


@dataclass(frozen=True)
class _Row:
    """The cells of a run, or of the mean of a setting."""

    name: str
    settings: Sequence[str]
    """The values of the swept keys, and the seed."""
    step: str
    figures: dict[str, tuple[str, str]]
    """Each measure by its name: the figure, and the deviation of a mean."""
    mark: str = ""
    style: str = ""


def show_series(event: SeriesFinished) -> None:
    """Print a row for each run, and the mean ± standard deviation of each setting's seeds.

    The last lines say which run is the best, and how the scores were computed.
    """
    measures = _shown_measures(event)
    _print_rows(event, [*_rows(event, measures)], measures)
    console = results()
    if any(group.spread(name) for group in event.settings for name in measures):
        console.print_wrapped("±: sample standard deviation over the seeds of a setting")
    for group in event.settings:
        has_mean = any(group.spread(name) for name in measures)
        steps = [result.finished.step for result in group.results if result.finished]
        if has_mean and (line := unequal_steps(steps)):
            console.print_wrapped(line)
    if sizes := _chosen_sizes(event):
        console.print_wrapped(sizes)
    scores = [result.score for result in event.results if result.score is not None]
    for protocol in dict.fromkeys(score.protocol for score in scores):
        console.print_wrapped(f"protocol: {protocol}")
    if event.why_not_comparable:
        _show_remedy(event)
    elif event.best is None:
        console.print_wrapped("no run is the best: no validation loss selects one")
    if event.best is not None:
        console.print_wrapped(f"best (lowest validation loss): {event.best.run.path}")


def _chosen_sizes(event: SeriesFinished) -> str:
    """Say that charlm chose other sizes for other values of the swept keys; "" if it did not."""
    sizes: dict[str, str] = {}
    for group in event.settings:
        for result in group.results:
            if result.finished and result.hidden_size:
                networks = count(max(1, len(result.finished.networks)), "network")
                values = " and ".join(f"{key}={value}" for key, value in result.run.swept)
                sizes.setdefault(values, f"{networks} of {result.hidden_size} units")
    is_swept = any(key == "model.hidden_size" for key, _ in event.results[0].run.swept)
    if not event.is_chosen or is_swept or len({*sizes.values()}) < 2:
        return ""
    listed = ", ".join(f"{size} with {values}" for values, size in sizes.items())
    return (
        f"sizes differ: charlm chose {listed}; --hidden-size and --set ensemble.members=1 set "
        "one size for all"
    )


def _show_remedy(event: SeriesFinished) -> None:
    """Print why no run is the best, and on its own line the one command that compares them."""
    differing = filter(None, (event.why_scores_differ, event.why_validations_differ))
    option = " --split validation" if event.why_validations_differ else ""
    if any(key.startswith("corpus.") for key, _ in event.results[0].run.swept):
        option = " --text FILE"  # each run has splits of its own
    runs = " ".join(shlex.quote(str(result.run.path)) for result in event.results if result.score)
    reason = f"no run is the best: {' and '.join(differing)}"
    results().print_wrapped(f"{reason}; compare them on the same characters with")
    results().print(f"  charlm eval {runs}{option}")


def _shown_measures(event: SeriesFinished) -> list[str]:
    """Return the measures that some run has; that of training only if nothing was held out."""
    known = [name for name in MEASURES if any(group.figures(name) for group in event.settings)]
    return [name for name in known if name != "training_perplexity"] or known


def _rows(event: SeriesFinished, measures: Sequence[str]) -> Iterator[_Row]:
    for group in event.settings:
        for result in group.results:
            yield _row_of_run(result, measures, is_best=result is event.best)
        if any(group.spread(name) for name in measures):
            yield _row_of_means(group, measures)


def _row_of_run(result: RunResult, measures: Sequence[str], *, is_best: bool) -> _Row:
    settings = [*(value for _, value in result.run.swept), str(result.run.seed)]
    step = f"{result.finished.step:,}" if result.finished else ""
    values = {name: MEASURES[name](result) for name in measures}
    figures = {name: ("" if x is None else f"{x:.4f}", "") for name, x in values.items()}
    mark = "best" if is_best else "diverged" if result.error else ""
    return _Row(result.run.path.name, settings, step, figures, mark)


def _row_of_means(group: SettingResults, measures: Sequence[str]) -> _Row:
    spreads = {name: group.spread(name) for name in measures}
    figures = {name: cells_of(spread) if spread else ("", "") for name, spread in spreads.items()}
    number = max(len(group.figures(name)) for name in measures)
    settings = [""] * (len(group.results[0].run.swept) + 1)
    return _Row(f"mean of {number} seeds", settings, "", figures, style="bold")


def _print_rows(event: SeriesFinished, rows: Sequence[_Row], measures: Sequence[str]) -> None:
    """Print the rows; names of runs contain the settings, and bits follow from the perplexity."""
    headings = {
        "training_perplexity": "training perplexity",
        "validation_perplexity": "validation perplexity",
        "perplexity": f"{event.split} perplexity",
        "bits_per_character": "bits per character",
    }
    settings = [key.rpartition(".")[2] for key, _ in event.results[0].run.swept]
    table = Table(box=None, pad_edge=False)
    for heading in ("run", *settings):
        table.add_column(heading)
    for heading in ("seed", "steps"):
        table.add_column(heading, justify="right")
    widths = {name: 2 if any(row.figures[name][1] for row in rows) else 1 for name in measures}
    for name in measures:
        table.add_column(headings[name], justify="right")
        if widths[name] == 2:
            table.add_column("", justify="right")  # deviations
    table.add_column(" ")  # marks; a column without a heading belongs to the one before it
    for row in rows:
        figures = chain(*(row.figures[name][: widths[name]] for name in measures))
        table.add_row(row.name, *row.settings, row.step, *figures, row.mark, style=row.style)
    expendable = [*settings, "seed", headings["bits_per_character"]]
    print_table(table, expendable, keeps_names=True)
