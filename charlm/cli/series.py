"""Show a series of runs: what it will train, which run it is at, and the table of all results."""

import shlex
from itertools import chain

from charlm.cli.console import PlainConsole, print_table, results
from charlm.cli.progress import TrainingView
from charlm.cli.run_tables import cells_of, table_of_runs
from charlm.formatting import count, option_duration
from charlm.prediction.perplexity import perplexity
from charlm.training.events import Finished, Stopping
from charlm.training.series_events import RunBegins, RunFailed, SeriesBegins, SeriesEvent
from charlm.training.series_plan import SeriesRun
from charlm.training.series_results import MEASURES, RunResult, SeriesFinished, SettingResults


class SeriesView:
    """Shows the events of a series; a view of its own shows those of each run."""

    def __init__(self, quiet: bool = False, *, only_messages: bool = False) -> None:
        self._quiet, self._only_messages = quiet, only_messages
        self._messages = PlainConsole(stderr=True, quiet=quiet)
        self._view = self._new_view()

    def _new_view(self) -> TrainingView:
        return TrainingView(self._quiet, only_messages=self._only_messages)

    def close(self) -> None:
        """Remove the line of progress from the terminal."""
        self._view.close()

    def __call__(self, event: SeriesEvent) -> None:
        match event:
            case SeriesBegins():
                self._messages.print(_describe_series(event.runs))
            case RunBegins():
                self.close()
                self._view = self._new_view()
                place = f"run {event.number} of {event.size}"
                self._messages.print(f"\n{place}: {_describe_run(event.run)}", style="bold")
            case RunFailed():
                self.close()
                PlainConsole(stderr=True).print(f"charlm: {event.run.path}: {event.error}")
            case Finished():
                self.close()
                self._messages.print(_describe_result(event))
            case Stopping():
                self.close()
                self._messages.print(f"saved at the last step in {event.folder.path}")
            case SeriesFinished():
                self._show_results(event)
            case _:
                self._view(event)

    def _show_results(self, event: SeriesFinished) -> None:
        if self._only_messages:
            return
        if not self._quiet:
            show_series(event)
            return
        for result in event.results:
            results().print(str(result.run.path))


def show_series(event: SeriesFinished) -> None:
    """Print a row for each run, and the mean ± standard deviation of each setting's seeds.

    The last lines say which run is the best, and how the scores were computed.
    """
    headings = {
        "training_perplexity": "training perplexity",
        "validation_perplexity": "validation perplexity",
        "perplexity": f"{event.split} perplexity",
        "bits_per_character": "bits per character",
    }
    measures = _shown_measures(event)
    swept = [key for key, _ in event.results[0].run.swept]
    names = (key.rpartition(".")[2] for key in swept)
    shown = (headings[name] for name in measures)
    table = table_of_runs(("run", *names), ("seed", "steps"), shown)
    table.add_column()
    for group in event.settings:
        for result in group.results:
            mark = "best" if result is event.best else "diverged" if result.error else ""
            table.add_row(*_facts(result), *_figures(result, measures), mark)
        if len(group.figures(measures[0]) if measures else ()) > 1:
            table.add_row(*_mean(group, measures, len(swept)), style="bold")
    print_table(table)
    console = results()
    if any(group.spread(name) for group in event.settings for name in measures):
        console.print("±: sample standard deviation over the seeds of a setting")
    scored = {result.run.path: result.score for result in event.results if result.score is not None}
    if reason := event.why_not_comparable:
        runs = " ".join(shlex.quote(str(path)) for path in scored)
        console.print(f"not comparable: {reason}; compare them with `charlm eval {runs}`")
    for protocol in dict.fromkeys(score.protocol for score in scored.values()):
        console.print(f"protocol: {protocol}")
    if event.best is not None:
        console.print(f"best (lowest validation loss): {event.best.run.path}")


def _shown_measures(event: SeriesFinished) -> list[str]:
    """Return the measures that some run has: that of training only if nothing was held out."""
    known = [name for name in MEASURES if any(group.figures(name) for group in event.settings)]
    return [name for name in known if name != "training_perplexity"] or known


def _facts(result: RunResult) -> list[str]:
    step = f"{result.finished.step:,}" if result.finished else ""
    values = [value for _, value in result.run.swept]
    return [result.run.path.name, *values, str(result.run.seed), step]


def _figures(result: RunResult, measures: list[str]) -> list[str]:
    values = [MEASURES[name](result) for name in measures]
    return list(chain(*(("" if value is None else f"{value:.4f}", "") for value in values)))


def _mean(group: SettingResults, measures: list[str], num_swept: int) -> list[str]:
    number = len(group.figures(measures[0]))
    label = f"mean of {number} seeds"
    spreads = (group.spread(name) for name in measures)
    figures = [cells_of(spread) if spread else ("", "") for spread in spreads]
    return [label, *[""] * (num_swept + 2), *chain(*figures), ""]


def _describe_series(runs: tuple[SeriesRun, ...]) -> str:
    """Say how many runs there are, and for how long they train together."""
    budgets = [run.config.training.budget for run in runs]
    text = f"{count(len(runs), 'run')}, one after another"
    known = [budget for budget in budgets if budget is not None]
    if len(known) < len(runs):
        return text
    each = f" ({option_duration(known[0])} each)" if len({*known}) == 1 else ""
    return f"{text}, for at most {option_duration(sum(known))} in all{each}"


def _describe_run(run: SeriesRun) -> str:
    settings = [f"{key}={value}" for key, value in run.swept]
    return f"{run.path} ({', '.join([*settings, f'seed {run.seed}'])})"


def _describe_result(event: Finished) -> str:
    """Return the perplexities of a finished run in one line."""
    scores = []
    if event.best_loss is not None:
        scores.append(f"validation perplexity {perplexity(event.best_loss):.3f}")
    if event.held_out is not None and event.held_out[0] != "validation":
        scores.append(f"{event.held_out[0]} perplexity {event.held_out[1].perplexity:.3f}")
    return ", ".join([f"step {event.step:,}", *scores])
