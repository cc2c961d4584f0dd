"""How a run that has come to harm is known, and what to change in its config."""

import math
from dataclasses import dataclass

from charlm.config.schema import Config
from charlm.files.stored import Count, Finite

_MEMORY = 200
"""Steps over which level and spread are means, about."""
_SPREADS = 6.0
"""How many spreads above its level a loss is high."""
_LEAST = 1.0
"""Nats above its level, at least, and above a guess, that a loss is high."""
_LASTS = 50
"""Steps in a row that must be high: an odd batch, or a state begun anew, is over before."""


@dataclass
class LossWatch:
    """Follows the loss from step to step, and says when it has leapt up and stays there.

    Level and spread are exponential means of the loss and of its distance from the level (plain
    means at first), in nats per character. High losses do not count in them. All of it is saved
    with a run.
    """

    steps: Count = 0
    """Seen and not high."""
    level: Finite = 0.0
    spread: Finite = 0.0
    above: Count = 0
    """High steps in a row, up to the last."""
    ceiling: Finite | None = None
    """What is high whatever the level: a loss that climbs slowly takes it along."""

    @classmethod
    def of_vocabulary(cls, size: int) -> "LossWatch":
        """Return a watch that takes a loss for high that is clearly worse than a guess."""
        return cls(ceiling=math.log(size) + _LEAST)

    def renewed(self, loss: float) -> "LossWatch":
        """Return a watch for a text that has become harder: its loss is no more high now."""
        ceiling = None if self.ceiling is None else max(self.ceiling, loss + _LEAST)
        return LossWatch(ceiling=ceiling)

    @property
    def limit(self) -> float:
        """Above it a loss is high."""
        limits = [self.level + max(_LEAST, _SPREADS * self.spread)] if self.steps else [math.inf]
        return min(limits + ([] if self.ceiling is None else [self.ceiling]))

    @property
    def is_suspicious(self) -> bool:
        """Whether the last step was high: what it leaves may be bad."""
        return self.above > 0

    @property
    def has_leapt(self) -> bool:
        return self.above >= _LASTS

    def see(self, loss: float) -> None:
        """Take note of the loss of a step."""
        if loss > self.limit:
            self.above += 1
            return
        self.above = 0
        self.steps += 1
        weight = max(1 / self.steps, 1 / _MEMORY)
        self.level += weight * (loss - self.level)
        self.spread += weight * (abs(loss - self.level) - self.spread)

    def describe(self) -> str:
        """Say what has been seen, for an error."""
        before = f", after {self.level:.2f}" if self.steps else ""
        return f"the loss has been above {self.limit:.2f} for {self.above} steps{before}"


def is_harm(now: float, then: float) -> bool:
    """Say whether weights with the loss `now` are clearly worse than those with `then` were.

    Both in nats per character, of one batch. If they are not, a leap of the loss is the text's.
    """
    return not now <= then + _LEAST / 2


def advice(config: Config) -> str:
    """Return what to change in a config with which training diverges."""
    training = config.training
    rate = f"a lower training.learning_rate (now {training.learning_rate:g})"
    if training.max_gradient_norm is None:
        clipping = "training.max_gradient_norm=1 (now nothing is clipped)"
        return f"begin another run with {clipping}, or {rate}"
    if config.model.cell == "rnn" and config.model.nonlinearity == "relu":
        return f"begin another run with model.nonlinearity=tanh, or {rate}"
    clipping = f"a lower training.max_gradient_norm (now {training.max_gradient_norm:g})"
    return f"begin another run with {rate} or {clipping}"
