"""Divide the time that an ensemble keeps of its budget for counting, mixing and scoring."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from charlm.config.schema import Config
from charlm.corpus.builder import build_corpus
from charlm.corpus.corpus import Corpus
from charlm.formatting import count, rough_duration
from charlm.models.device import choose_device
from charlm.models.ensemble import Ensemble
from charlm.models.language_model import LanguageModel
from charlm.models.mixture_fit import CONTEXT_CHARACTERS, FIT_LIMIT_CHARACTERS, fit_mixture
from charlm.models.ngrams.parts import parts_for
from charlm.prediction.final_score import whole_streams
from charlm.prediction.ngram_text import most_counted
from charlm.prediction.reading import num_streams
from charlm.prediction.scored_text import held_out_split
from charlm.prediction.timed_scoring import characters_in, reading_seconds, scoring_rate
from charlm.training.command_clock import CommandClock
from charlm.training.time_budget import KeptTime, divided_time, report_seconds
from charlm.training.time_shares import (
    END_SHARE,
    EXTRA_COUNTING_SHARE,
    MIXING_SHARE,
    SCORING_SHARE,
    START_SHARE,
)

_COUNTING_SHARE, _FITTING_SHARE, _COMPARING_SHARE = 0.5, 0.25, 0.18
"""Largest fractions of the time kept for the mixture, for counting, and of what it leaves: for
fitting weights, and for scoring each network and the ensemble on the validation split. The final
score gets the rest."""
_TAIL_SHARE = 0.1
"""Fraction of that time for the checkpoint and the sample."""
_UNLIMITED_SECONDS = 1.0
"""An ensemble that needs less is never limited: measurements of such short times are noisy."""
_RESUMED_SLACK = 1.5
"""Factor by which a resumed ensemble may take longer, so that it counts no less than before."""
_PROBE_CHARACTERS, _FITTED_CHARACTERS = 20_000, 500
"""Number of characters to count, and to fit weights to, in a measurement."""
_COUNTING_SLOWDOWN = 1.25
"""Factor by which counting becomes slower in a text of 100 million characters."""


@dataclass(frozen=True)
class MixingRates:
    """Characters per second in which an ensemble counts, fits its weights and scores."""

    counting: float
    fitting: float
    validating: float
    scoring: float
    """On the whole held-out split, in the number of streams that it is scored in."""


_EXPECTED_RATES = MixingRates(1e6, 1e4, 3e4, 3e4)
"""Rates of a small ensemble on two cores, for estimates without a measurement."""


@dataclass(frozen=True)
class MixingPlan:
    """How many characters an ensemble counts, fits its weights to, and validates on."""

    tail_seconds: float = 0.0
    """Time that the end of the command takes, after the score."""
    counted: int = field(default_factory=most_counted)
    fitted: int = FIT_LIMIT_CHARACTERS
    validated: int | None = None
    """None: as many as `training.validation_characters`."""


def measured_rates(
    members: Sequence[LanguageModel], config: Config, corpus: Corpus, clock: CommandClock
) -> MixingRates:
    """Measure how fast an ensemble of these members is, on a piece of the text."""
    train = np.array(corpus.splits["train"].ids[-_PROBE_CHARACTERS:])
    validation = corpus.splits["validation"].ids
    start = clock.seconds()
    parts = parts_for(config.ensemble, corpus.vocabulary)
    ensemble = Ensemble(members, config.ensemble.ngram_order or 0, train, parts=parts).eval()
    counting = _rate(len(train), clock.seconds() - start) / _COUNTING_SLOWDOWN
    rows = num_streams(max(2, len(validation)), config.training.validation_rows)
    validating = scoring_rate(ensemble, train, rows, clock.seconds)
    fitting = math.inf
    if len(validation) > 1:
        piece = np.array(validation[:_FITTED_CHARACTERS])
        start = clock.seconds()
        fit_mixture(ensemble, train, piece)
        fitting = _rate(len(piece) + CONTEXT_CHARACTERS, clock.seconds() - start)
    name = held_out_split(corpus)
    streams = whole_streams(corpus.splits[name], config.training) if name else rows
    scoring = scoring_rate(ensemble, train, streams, clock.seconds)
    return MixingRates(counting, fitting, validating, scoring)


def needed_seconds(
    rates: MixingRates, config: Config, corpus: Corpus, most_for_score: float = math.inf
) -> float:
    """Return how long an ensemble takes to count, mix and score all; the score may be limited."""
    counted, fitted, validated = _most(config, corpus)
    rows = config.training.validation_rows
    seconds = counted / rates.counting + fitted / rates.fitting
    # The networks alone take as long as the ensemble, or less.
    seconds += 2 * reading_seconds(validated, rows, rates.validating)
    if name := held_out_split(corpus):
        split = corpus.splits[name]
        streams = whole_streams(split, config.training)
        seconds += min(reading_seconds(len(split), streams, rates.scoring), most_for_score)
    return seconds / (1 - _TAIL_SHARE) + report_seconds(config.training)


def kept_seconds(rates: MixingRates, config: Config, corpus: Corpus, budget: float) -> float:
    """Return how much of a budget is kept for counting, mixing and scoring."""
    needed = needed_seconds(rates, config, corpus, SCORING_SHARE * budget)
    counting = _most(config, corpus)[0] / rates.counting
    return min(needed, MIXING_SHARE * budget + min(counting, EXTRA_COUNTING_SHARE * budget))


def plan_mixing(rates: MixingRates, config: Config, corpus: Corpus, seconds: float) -> MixingPlan:
    """Return what an ensemble can count, fit and validate on in this time."""
    counted, fitted, validated = _most(config, corpus)
    rows = config.training.validation_rows
    needed = (1 - _TAIL_SHARE) * needed_seconds(rates, config, corpus)
    tail = _TAIL_SHARE * seconds + report_seconds(config.training)
    if needed <= max(seconds, _UNLIMITED_SECONDS):
        return MixingPlan(tail, counted, fitted, validated)
    counted = characters_in(_COUNTING_SHARE * seconds, 1, rates.counting, counted)
    left = max(0.0, seconds - counted / rates.counting)
    comparing = _COMPARING_SHARE * left / 2  # by the networks, and by the ensemble
    return MixingPlan(
        tail,
        counted,
        characters_in(_FITTING_SHARE * left, 1, rates.fitting, fitted),
        characters_in(comparing, rows, rates.validating, validated),
    )


def expected_training_seconds(config: Config, corpus: Corpus, used: float) -> float:
    """Estimate how long the networks of an ensemble may train, before the ensemble is chosen.

    `used` are the seconds of the budget that have passed.
    """
    budget = config.training.budget or 0.0
    left = budget - used - kept_seconds(_EXPECTED_RATES, config, corpus, budget)
    return max(left, (1 - START_SHARE) * (1 - END_SHARE) * budget)


class EnsembleTime:
    """Divides the budget of an ensemble between its networks and their mixture."""

    def __init__(self, config: Config, clock: CommandClock) -> None:
        self.config, self.clock = config, clock
        self._budget = config.training.budget
        self._is_new = True
        self._start = self._mixing = 0.0

    def begin(self, *, is_new: bool) -> str:
        """Divide the time; return a line that says how, or "" if there is nothing to divide.

        The start of a command that resumes an ensemble counts for the network that it resumes.
        """
        self._is_new, budget = is_new, self._budget
        if budget is None:
            return ""
        self._mixing = self._needed_seconds(budget)
        if not is_new:
            return ""
        start = self.clock.end_lap()
        self._start = min(start, START_SHARE * budget)
        left = budget - self._start
        self._mixing = min(self._mixing, END_SHARE * left)
        size, order = self.config.ensemble.size, self.config.ensemble.ngram_order
        parts = (start, left - self._mixing, self._mixing)
        start_text, training_text, mixing_text = map(rough_duration, parts)
        return (
            f"time: {divided_time(budget, sum(parts))} {start_text} to start, about "
            f"{training_text} to train {count(size, 'network')}, {mixing_text} to "
            f"{'count n-grams, ' if order else ''}mix and score"
        )

    def kept(self, number: int) -> KeptTime:
        """Return what is kept of the budget of a network."""
        share = self.config.ensemble.share(number)
        return KeptTime(share * self._start, share * self._mixing)

    def end(self) -> float:
        """Return the reading of the clock at which the command should end, before mixing."""
        if self._budget is None:
            return math.inf
        now = self.clock.seconds()
        if self._is_new:
            return max(self._budget, now + self._mixing / 2)
        return now + _RESUMED_SLACK * self._mixing

    def _needed_seconds(self, budget: float) -> float:
        """Return how long counting, mixing and scoring take, within their share of the budget."""
        config = self.config
        if config.training.start_from is not None:  # the networks may have another shape
            return MIXING_SHARE * budget
        corpus = build_corpus(config.corpus)
        model = LanguageModel(config.model, len(corpus.vocabulary), corpus.boundary)
        model.initialize(torch.Generator().manual_seed(0))
        model.to(choose_device(config.training.device)).eval()
        rates = measured_rates([model] * config.ensemble.size, config, corpus, self.clock)
        return kept_seconds(rates, config, corpus, budget)


def _most(config: Config, corpus: Corpus) -> tuple[int, int, int]:
    """Return how many characters are counted, fitted to and validated on without a limit."""
    validation = max(1, len(corpus.splits["validation"]) - 1)
    validated = min(validation, config.training.validation_characters or validation)
    counted = min(len(corpus.splits["train"]), most_counted())
    return counted, min(validation, FIT_LIMIT_CHARACTERS), validated


def _rate(characters: int, seconds: float) -> float:
    return characters / seconds if seconds > 0 else math.inf
