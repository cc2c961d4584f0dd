"""The limits of training: how they are shown, and the one that charlm chooses."""

import re
from collections.abc import Collection, Sequence

from charlm.config.schema import Config, TrainingConfig
from charlm.files.strict_yaml import NULL
from charlm.formatting import count, option_duration, rough_duration
from charlm.training.time_shares import MIXING_SHARE, SCORING_SHARE

DEFAULT_BUDGET = "5m"
"""Time of a training, with its score, if neither a config nor the user sets a limit."""
_LIMITS = ("training.epochs", "training.steps", "training.budget")


def with_limit(settings: Sequence[str], swept: Collection[str] = ()) -> list[str]:
    """Return settings that set a limit of training: their own, or the default budget.

    A limit of epochs or steps replaces the budget of the config; a budget can be set beside it.
    `swept` are the keys that get their values later.
    """
    given = {key.strip(): value.strip() for key, _, value in (s.partition("=") for s in settings)}
    if "training.budget" in {*given, *swept}:
        return [*settings]
    given |= dict.fromkeys(swept, "swept")
    is_limited = any(not re.fullmatch(NULL, given.get(key, "null")) for key in _LIMITS)
    return [f"training.budget={'null' if is_limited else DEFAULT_BUDGET}", *settings]


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
