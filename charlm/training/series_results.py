"""The results of a series of runs: the best one, and how far the runs vary with the seed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from charlm.formatting import count, html_table
from charlm.prediction.comparison import Spread, why_not_comparable
from charlm.prediction.perplexity import Score, perplexity
from charlm.training.events import Finished
from charlm.training.series_plan import SeriesRun


@dataclass(frozen=True, repr=False)
class RunResult:
    """What a run of a series has reached."""

    run: SeriesRun
    finished: Finished | None
    """None if the run diverged."""
    error: str = ""
    """Why the run has no result."""
    hidden_size: int | None = None
    """Units of each layer of its networks, which charlm may have chosen."""

    def __repr__(self) -> str:
        return f"RunResult({self.run.path}: {self.summary})"

    @property
    def summary(self) -> str:
        """The perplexities of the validation split and of the held-out split, or the error."""
        if self.finished is None:
            return self.error
        losses = [("validation", self.validation_loss)]
        if self.finished.held_out is not None and self.finished.held_out[0] != "validation":
            name, score = self.finished.held_out
            losses.append((name, score.nats_per_character))
        shown = [f"{name} perplexity {perplexity(x):.3f}" for name, x in losses if x is not None]
        return ", ".join(shown) or count(self.finished.step, "step")

    @property
    def training_loss(self) -> float | None:
        """Nats per character of the training split, during training; None for an ensemble."""
        return self.finished.training_loss if self.finished else None

    @property
    def validation_loss(self) -> float | None:
        """Nats per character of the validation split; None without that split."""
        return self.finished.best_loss if self.finished else None

    @property
    def validation(self) -> Score | None:
        """The score of the validation split whose loss is `validation_loss`."""
        return self.finished.validation if self.finished else None

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
        """Return mean and sample standard deviation.

        None for fewer than two runs, or for scores of different characters.
        """
        figures = self.figures(measure)
        if len(figures) < 2 or why_not_comparable(self._scores_of(measure)):
            return None
        return Spread.of(figures)

    def _scores_of(self, measure: str) -> list[Score]:
        """Return the scores from which a measure of each run is computed."""
        if measure == "training_perplexity":
            return []
        is_validation = measure == "validation_perplexity"
        scores = [r.validation if is_validation else r.score for r in self.results]
        return [score for score in scores if score is not None]


@dataclass(frozen=True, repr=False)
class SeriesFinished:
    """All runs of a series have ended."""

    results: tuple[RunResult, ...]
    is_chosen: bool = False
    """Whether charlm has chosen the settings that the user left open."""

    def __repr__(self) -> str:
        best = f": {self.best!r} is the best" if len(self.results) > 1 and self.best else ""
        return f"SeriesFinished({count(len(self.results), 'run')}{best})"

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows."""
        return html_table([(str(result.run.path), result.summary) for result in self.results])

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
    def why_scores_differ(self) -> str:
        """Say why the scores of the held-out split are not comparable; "" if they are."""
        return why_not_comparable([r.score for r in self.results if r.score])

    @property
    def why_validations_differ(self) -> str:
        """Say why the validation losses are not comparable; "" if they are.

        A time budget may allow a slower run to score fewer characters in each validation.
        """
        return why_not_comparable([r.validation for r in self.results if r.validation], "validated")

    @property
    def why_not_comparable(self) -> str:
        """Say what differs between the characters or protocols of the runs; "" if nothing does."""
        return self.why_scores_differ or self.why_validations_differ

    @property
    def best(self) -> RunResult | None:
        """The run with the lowest validation loss; None if the runs are not comparable.

        The validation split chooses, so the test split remains unseen text.
        """
        known = [result for result in self.results if result.validation_loss is not None]
        if not known or self.why_not_comparable:
            return None
        return min(known, key=lambda result: result.validation_loss or 0.0)

    @property
    def failed(self) -> Sequence[RunResult]:
        """The runs without a result."""
        return [result for result in self.results if result.finished is None]
