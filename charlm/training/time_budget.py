"""Divide a time budget between training and the rest of the command."""

import math
from dataclasses import dataclass
from pathlib import Path

from charlm.config.schema import TrainingConfig
from charlm.corpus.corpus import Split
from charlm.formatting import rough_duration
from charlm.prediction.final_score import whole_streams
from charlm.prediction.reading import num_streams
from charlm.prediction.scored_text import held_out_split
from charlm.prediction.timed_scoring import (
    TimeLimit,
    characters_in,
    reading_seconds,
    scoring_rate,
)
from charlm.runs.folder import RunFolder
from charlm.training.command_clock import CommandClock
from charlm.training.results import last_reading
from charlm.training.state import TrainingState
from charlm.training.time_shares import (
    END_SHARE,
    LEAST_SCORING_SHARE,
    SCORING_SHARE,
    START_SHARE,
    TAIL_SHARE,
    VALIDATION_SHARE,
)
from charlm.training.validation import draw_sample

_REPORT_SECONDS = 0.3
"""Time for `report.html`, most of it for the import of what draws it."""
_REPORT_SHARE = 0.02
"""Largest fraction of a budget for it, where an ensemble keeps time."""
_TAIL_SAMPLES = 4
"""Time for the end of a command besides scores, in units of the time to draw one sample:
two samples, two checkpoints, the end of the process."""


def report_seconds(training: TrainingConfig) -> float:
    """Return the time of a budget that is kept for the report; 0 without one."""
    if not training.report or training.budget is None:
        return 0.0
    return min(_REPORT_SECONDS, _REPORT_SHARE * training.budget)


def tail_seconds(budget: float, sample_seconds: float, *, has_report: bool = False) -> float:
    """Return the time that the end of a command takes besides scores."""
    report = _REPORT_SECONDS if has_report else 0.0
    return min(_TAIL_SAMPLES * sample_seconds + report, TAIL_SHARE * budget)


def divided_time(budget: float, total: float) -> str:
    """Return what a line that divides time begins with: a slow start makes it exceed the budget."""
    whole, longer = rough_duration(budget), rough_duration(total)
    if total <= budget or longer == whole:
        return f"of {whole},"
    return f"{longer} instead of {whole}, after a slow start:"


@dataclass(frozen=True)
class KeptTime:
    """Time of a network's budget that an ensemble keeps for startup and for the mixture."""

    start: float = 0.0
    end: float = 0.0


class TimeBudget:
    """Divides a network's time budget: keeps time for the end of a command, and counts its start.

    Training gets what is left. All but training is in `Counters.overhead`, so that a run that is
    stopped and resumed trains as long as planned, less the starts of the later commands.
    """

    def __init__(
        self, state: TrainingState, clock: CommandClock, kept: KeptTime, *, scores_at_end: bool
    ) -> None:
        self._kept = kept
        self.state, self.clock, self.scores_at_end = state, clock, scores_at_end
        self.budget = state.config.training.budget
        self._trains = False
        """Whether this command trains: a finished run is only scored again."""
        self._overhead = self._end_seconds = self._tail_seconds = 0.0
        """The overhead while training, the part of it for the end, and that without scores."""
        self.seconds_left: float | None = None if self.budget is None else 0.0
        """What is left of the budget to this command; to a member of an ensemble, for training."""
        self._end = math.inf
        """Reading of the clock at which the budget is used up, once training has ended."""

    def begin(self) -> str:
        """Divide the time; return a line that says how, or "" if there is nothing to say."""
        state, counters, budget = self.state, self.state.counters, self.budget
        if budget is None:
            return ""
        is_new = not (counters.elapsed and counters.overhead)
        if is_new:
            counters.overhead = self._kept.start + self._kept.end
        state.trainer.budget = self._training_seconds(budget)
        self._trains = state.trainer.progress() < 1
        if not self._trains:
            return ""
        left = state.trainer.budget - counters.elapsed
        self._end_seconds = self._measured_end(budget, is_new)
        start = state.processes.run_on_first(self.clock.end_lap)
        counted_start = min(start, START_SHARE * left)
        counters.overhead += counted_start
        left -= counted_start
        if is_new:
            self._end_seconds = min(self._end_seconds, END_SHARE * left)
            counters.overhead += self._end_seconds
            left -= self._end_seconds
        self._overhead = counters.overhead
        state.trainer.budget = self._training_seconds(budget)
        if not self.scores_at_end:
            self.seconds_left = left
            return ""
        self.seconds_left = start + left + self._end_seconds
        return self._describe(start, left)

    def end(self) -> None:
        """End the training time; keep time for another end, of a run that is extended later."""
        if self.budget is None or not self._trains:
            return
        left = (self.state.trainer.budget or 0.0) - self.state.clock()
        self._end = self.clock.seconds() + left + self._end_seconds
        self.state.counters.overhead = self._overhead + self._end_seconds + self._kept.end
        self.clock.end_lap()

    def limit(self, run: Path) -> TimeLimit | None:
        """Return when the final score of a run should be complete; None without a budget.

        A finished run is scored as before, so that its score stays the same.
        """
        if self.budget is None:
            return None
        now = self.clock.seconds()
        end = self._end - self._tail_seconds if self._trains else now
        share = LEAST_SCORING_SHARE if self._trains else SCORING_SHARE
        earlier = None if self._trains else last_reading(RunFolder(run))
        return TimeLimit(max(end, now + share * self.budget), self.clock.seconds, run, earlier)

    def _training_seconds(self, budget: float) -> float:
        return max(budget - self.state.counters.overhead, 1e-9)

    def _measured_end(self, budget: float, is_new: bool) -> float:
        """Measure what the end takes: the last validation, the final score, samples and files."""
        corpus, training = self.state.corpus, self.state.config.training
        validation, counters = corpus.splits["validation"], self.state.counters
        began_at = self.clock.seconds()
        draw_sample(self.state)
        has_report = training.report and self.scores_at_end
        sample_seconds = self.clock.seconds() - began_at
        self._tail_seconds = tail_seconds(budget, sample_seconds, has_report=has_report)
        seconds = self._tail_seconds
        if len(validation) > 1:
            streams = num_streams(len(validation), training.validation_rows)
            rate = self._rate(validation, streams)
            most = min(len(validation) - 1, training.validation_characters or len(validation))
            fitting = characters_in(VALIDATION_SHARE * budget, streams, rate, most)
            if is_new and counters.best_loss is None and fitting < most:
                counters.validation_characters = fitting  # or losses would be of other characters
            seconds += reading_seconds(counters.validation_characters or most, streams, rate)
        name = held_out_split(corpus)
        if self.scores_at_end and name is not None and len(split := corpus.splits[name]) > 1:
            streams = whole_streams(split, training)
            whole = reading_seconds(len(split) - 1, streams, self._rate(split, streams))
            seconds += min(whole, SCORING_SHARE * budget)
        return seconds

    def _rate(self, split: Split, streams: int) -> float:
        state = self.state
        return scoring_rate(state.model, split.ids, streams, self.clock.seconds, state.processes)

    def _describe(self, start: float, training: float) -> str:
        seconds = (start, training, self._end_seconds)
        budget = self.budget or 0.0
        whole = divided_time(budget, sum(seconds))
        if self.state.trainer.step:
            whole = f"of the {rough_duration(sum(seconds))} left of {rough_duration(budget)},"
        start_text, training_text, end_text = map(rough_duration, seconds)
        line = (
            f"time: {whole} {start_text} to start, about {training_text} to train, {end_text} "
            "for the last validation and the score"
        )
        if limit := self.state.counters.validation_characters:
            line += f"; each validation scores {limit:,} {self.state.config.corpus.unit}s"
        return line
