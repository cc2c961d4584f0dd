"""Show a series of runs: what it will train, the current run, and the table of all results."""

from charlm.cli.console import PlainConsole, print_commands, results
from charlm.cli.next_commands import series_commands
from charlm.cli.notebook import in_notebook
from charlm.cli.progress import TrainingView
from charlm.cli.series_table import show_series
from charlm.cli.wrapping import print_error
from charlm.formatting import count, option_duration
from charlm.prediction.perplexity import perplexity
from charlm.training.events import Finished, Stopping
from charlm.training.series_events import RunBegins, RunFailed, SeriesBegins, SeriesEvent
from charlm.training.series_plan import SeriesRun
from charlm.training.series_results import SeriesFinished


class SeriesView:
    """Shows the events of a series, with a separate view for each run."""

    def __init__(
        self, quiet: bool = False, *, only_messages: bool = False, shows_results: bool = True
    ) -> None:
        """The options are those of `TrainingView`."""
        self._quiet, self._only_messages = quiet, only_messages
        self._shows_results = shows_results
        self._messages = PlainConsole(stderr=not in_notebook(), quiet=quiet)
        self._view = self._new_view()

    def _new_view(self) -> TrainingView:
        return TrainingView(
            self._quiet,
            only_messages=self._only_messages,
            shows_results=self._shows_results,
        )

    def close(self) -> None:
        """Remove the line of progress from the terminal."""
        self._view.close()

    def __call__(self, event: SeriesEvent) -> None:
        match event:
            case SeriesBegins():
                self._messages.print_wrapped(_describe_series(event.runs))
            case RunBegins():
                self.close()
                self._view = self._new_view()
                place = f"run {event.number} of {event.size}"
                self._messages.print_wrapped(f"\n{place}: {_describe_run(event.run)}", style="bold")
            case RunFailed():
                self.close()
                print_error(f"{event.run.path}: {event.error}")
            case Finished():
                self.close()
                self._messages.print_wrapped(_describe_result(event))
            case Stopping():
                self.close()
                self._messages.print_wrapped(f"saved at the last step in {event.folder.path}")
            case SeriesFinished():
                self._show_results(event)
            case _:
                self._view(event)

    def _show_results(self, event: SeriesFinished) -> None:
        if self._only_messages or not self._shows_results:
            return
        if not self._quiet:
            show_series(event)
            if commands := series_commands(event):
                print_commands("\nnext", commands)
            return
        for result in event.results:
            results().print(str(result.run.path))


def _describe_series(runs: tuple[SeriesRun, ...]) -> str:
    """Say how many runs there are, and for how long they train together."""
    budgets = [run.config.training.budget for run in runs]
    text = f"{count(len(runs), 'run')}, one after another"
    known = [budget for budget in budgets if budget is not None]
    if len(known) < len(runs):
        return text
    if len({*known}) > 1:
        return f"{text}, for at most {option_duration(sum(known))} in all"
    each = f"{count(len(runs), 'run')} of {option_duration(known[0])} each"
    return f"{each}, one after another: {option_duration(sum(known))} in all, and the start-up"


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
