"""Tell for how long charlm trains."""

from collections.abc import Sequence

from charlm.config.schema import Config, TrainingConfig
from charlm.formatting import count, option_duration, rough_duration
from charlm.training.time_shares import MIXING_SHARE, SCORING_SHARE

_MOST_NAMED_TEXTS = 3
"""Number of texts that a message names; it counts the rest."""


def announcement(texts: Sequence[str], config: Config) -> list[str]:
    """Return what charlm does with a text without a config, for how long, and how to stop."""
    shown = ", ".join(texts[:_MOST_NAMED_TEXTS])
    more = len(texts) - _MOST_NAMED_TEXTS
    what = f"{shown} and {count(more, 'more text')}" if more > 0 else shown
    return [
        f"charlm chooses a model for {what or config.corpus.builtin}, and trains it for at most "
        f"{describe_limits(config.training)}; --budget sets another time",
        "Ctrl-C stops earlier and saves the model; --resume continues the training",
    ]


def describe_limits(training: TrainingConfig, member_budget: float | None = None) -> str:
    """Name every limit: those of the config and of the command line apply together.

    A member of an ensemble trains for `member_budget`, not for the budget of its config.
    """
    limits = []
    if training.epochs is not None:
        limits.append(f"{training.epochs:g} epoch{'' if training.epochs == 1 else 's'}")
    if training.steps is not None:
        limits.append(count(training.steps, "step"))
    if member_budget is not None and member_budget != training.budget:
        limits.append(rough_duration(member_budget))
    elif training.budget is not None:
        limits.append(option_duration(training.budget))
    first, *others = limits
    return f"{first}, or {' or '.join(others)} if that is sooner" if others else first


def describe_time(config: Config) -> str:
    """Say how a time budget will be divided, as far as it is known before anything is measured."""
    budget = config.training.budget or 0.0
    size = config.ensemble.size
    if config.ensemble.is_wanted:
        work = "count n-grams, mix and score" if config.ensemble.ngram_order else "mix and score"
        end = f"{rough_duration(MIXING_SHARE * budget)} to {work}"
    else:
        end = f"{rough_duration(SCORING_SHARE * budget)} to score"
    return (
        f"time: of {option_duration(budget)}, at most {end}, and what the start leaves to train "
        f"{count(size, 'network')}; charlm measures it when training begins"
    )
