"""Describe how long charlm trains."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from charlm.config.schema import Config, TrainingConfig
from charlm.formatting import count, option_duration, rough_duration
from charlm.training.time_shares import EXTRA_COUNTING_SHARE, MIXING_SHARE, SCORING_SHARE

if TYPE_CHECKING:
    from charlm.training.events import Started

_MOST_NAMED_TEXTS = 3
"""Number of texts that a message names; it counts the rest."""


def announcement(texts: Sequence[str], config: Config) -> list[str]:
    """Return what charlm does with a text without a config, for how long, and how to stop."""
    names = ["standard input" if text == "-" else text for text in texts[:_MOST_NAMED_TEXTS]]
    shown = ", ".join(names)
    more = len(texts) - _MOST_NAMED_TEXTS
    training = config.training
    length = f"and trains it for at most {describe_limits(training)}"
    if training.epochs is None and training.steps is None:
        length = f"trains it and scores it in at most {describe_limits(training)}"
    what = f"{shown} and {count(more, 'more text')}" if more > 0 else shown
    return [
        f"charlm chooses a model for {what or config.corpus.builtin}, {length}; --budget sets "
        "another time",
        "Ctrl-C stops earlier and saves the model; --resume continues the training",
    ]


def describe_bare_seconds(settings: Sequence[str]) -> list[str]:
    """Say that a budget without a unit is in seconds, in a line; an empty list with a unit."""
    for setting in settings:
        key, _, value = (text.strip() for text in setting.partition("="))
        if key == "training.budget" and re.fullmatch(r"[0-9]+\.?[0-9]*|\.[0-9]+", value, re.ASCII):
            unit = "second" if value == "1" else "seconds"
            return [f"the budget is {value} {unit}; {value}m is in minutes"]
    return []


def describe_limits(training: TrainingConfig) -> str:
    """Name every limit: those of the config and of the command line apply together."""
    limits = []
    if training.epochs is not None:
        limits.append(_epochs(training.epochs))
    if training.steps is not None:
        limits.append(count(training.steps, "step"))
    if training.budget is not None:
        limits.append(option_duration(training.budget))
    return _joined(limits)


def describe_rest(started: "Started") -> str:
    """Name what is left of every limit: of a new run, or of a finished one, all of it.

    A network of an ensemble has a share of the time, which another line divides.
    """
    training, is_resumed = started.config.training, started.resumed_at > 0
    if started.progress >= 1 or not (is_resumed or started.is_member):
        return describe_limits(training)
    limits = []
    if training.epochs is not None:
        limits.append(_epochs(training.epochs - started.epochs, "more " * is_resumed))
    if training.steps is not None:
        left = training.steps - started.resumed_at
        limits.append(count(left, "more step" if is_resumed else "step"))
    if started.seconds_left is not None:
        is_known = is_resumed or not started.is_member
        limits.append(rough_duration(started.seconds_left) if is_known else "its share of the time")
    return _joined(limits)


def _epochs(number: float, more: str = "") -> str:
    shown = f"{number:.3g}" if more else f"{number:g}"
    return f"{shown} {more}epoch{'' if shown == '1' else 's'}"


def _joined(limits: list[str]) -> str:
    first, *others = limits
    return f"{first}, or {' or '.join(others)} if that is sooner" if others else first


def describe_time(config: Config) -> str:
    """Say how a time budget will be divided, as far as this is known before measuring."""
    budget = config.training.budget or 0.0
    size = config.ensemble.size
    if config.ensemble.is_wanted:
        counts = bool(config.ensemble.ngram_order)
        seconds = (MIXING_SHARE + EXTRA_COUNTING_SHARE * counts) * budget
        end = f"{rough_duration(seconds)} to {'count n-grams, ' if counts else ''}mix and score"
    else:
        end = f"{rough_duration(SCORING_SHARE * budget)} to score"
    return (
        f"time: of {option_duration(budget)}, at most {end}, and what startup leaves to train "
        f"{count(size, 'network')}; charlm measures it when training begins"
    )
