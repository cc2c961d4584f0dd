"""The results of a series of runs: the best one, and how far the runs vary with the seed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from charlm.prediction.comparison import Spread, why_not_comparable
from charlm.prediction.perplexity import Score, perplexity
from charlm.training.events import Finished
from charlm.training.series_plan import SeriesRun


@dataclass(frozen=True)
class RunResult:
    """What a run of a series has reached."""

    run: SeriesRun
    finished: Finished | None
    """None if the run diverged."""
    error: str = ""
    """Why the run has no result."""

    @property
    def training_loss(self) -> float | None:
        """Nats per character of the training split, during training; None for an ensemble."""
        return self.finished.training_loss if self.finished else None

    @property
    def validation_loss(self) -> float | None:
        """Nats per character of the validation split; None without that split."""
        return self.finished.best_loss if self.finished else None

    @property
    def score(self) -> Score | None:
        """The score of the held-out split; None without one."""
        return self.finished.held_out[1] if self.finished and self.finished.held_out else None


def _perplexity(loss: float | None) -> float | None:
    return None if loss is None else perplexity(loss)


MEASURES: dict[str, Callable[[RunResult], float | None]] = {
    "training_perplexity": lambda result: _perplexity(result.training_loss),
    "validation_perplexity": lambda result: _perplexity(result.validation_loss),
    "perplexity": lambda result: result.score.perplexity if result.score else None,
    "bits_per_character": lambda result: result.score.bits_per_character if result.score else None,
}
"""Each measure of a run by its name; the last two are of the held-out split."""


@dataclass(frozen=True)
class SettingResults:
    """The runs of one setting, which differ only in their seed."""

    results: tuple[RunResult, ...]

    def figures(self, measure: str) -> list[float]:
        """Return a measure of each run that has it."""
        figures = [MEASURES[measure](result) for result in self.results]
        return [figure for figure in figures if figure is not None]

    def spread(self, measure: str) -> Spread | None:
        """Return mean and sample standard deviation; None for fewer than two runs."""
        figures = self.figures(measure)
        return Spread.of(figures) if len(figures) > 1 else None


@dataclass(frozen=True)
class SeriesFinished:
    """All runs of a series have ended."""

    results: tuple[RunResult, ...]

    @property
    def settings(self) -> list[SettingResults]:
        """The runs of each setting, in their order."""
        groups: dict[tuple[tuple[str, str], ...], list[RunResult]] = {}
        for result in self.results:
            groups.setdefault(result.run.swept, []).append(result)
        return [SettingResults(tuple(group)) for group in groups.values()]

    @property
    def split(self) -> str:
        """The name of the split that is scored at the end: test, else validation; "" for none."""
        held_out = [result.finished.held_out for result in self.results if result.finished]
        return next((split for split, _ in filter(None, held_out)), "")

    @property
    def why_not_comparable(self) -> str:
        """Say what differs between the scored characters or protocols; "" if nothing does."""
        return why_not_comparable([r.score for r in self.results if r.score is not None])

    @property
    def best(self) -> RunResult | None:
        """The run with the lowest validation loss; None if the runs are not comparable.

        The validation split chooses, so that the score of the test split stays one of unseen text.
        """
        known = [result for result in self.results if result.validation_loss is not None]
        if not known or self.why_not_comparable:
            return None
        return min(known, key=lambda result: result.validation_loss or 0.0)

    @property
    def failed(self) -> Sequence[RunResult]:
        """The runs without a result."""
        return [result for result in self.results if result.finished is None]
