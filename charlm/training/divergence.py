"""Detection of divergence, and advice on the settings to change."""

import math
from dataclasses import dataclass

from charlm.config.schema import Config
from charlm.files.untrusted import Count, Finite

_MEMORY_STEPS = 200
"""Approximate number of steps over which level and spread are averaged."""
_HIGH_SPREADS = 6.0
"""A loss is high if it exceeds its level by more spreads than this."""
_HIGH_NATS = 1.0
"""A loss is high only if it exceeds its level, or that of a uniform guess, by more than this."""
_LEAP_STEPS = 50
"""Steps in a row with a high loss: an unusual batch, or a reset state, takes fewer."""


@dataclass
class LossWatch:
    """Detector of a loss that leaps up and stays high.

    Level and spread are exponential means of the loss and of its distance from the level (plain
    means at first), in nats per character. They leave out high losses. Checkpoints contain all
    fields.
    """

    steps: Count = 0
    """Steps whose loss was not high."""
    level: Finite = 0.0
    spread: Finite = 0.0
    high_steps: Count = 0
    """Number of steps in a row, up to the last one, whose loss was high."""
    ceiling: Finite | None = None
    """A loss above it is high at any level, because a slow rise of the loss also raises the level.
    """

    @classmethod
    def of_vocabulary(cls, size: int) -> "LossWatch":
        """Return a watch whose ceiling is a loss clearly worse than that of a uniform guess."""
        return cls(ceiling=math.log(size) + _HIGH_NATS)

    def restarted(self, loss: float) -> "LossWatch":
        """Return a new watch for a text that has become harder: this loss is not high any more."""
        ceiling = None if self.ceiling is None else max(self.ceiling, loss + _HIGH_NATS)
        return LossWatch(ceiling=ceiling)

    @property
    def limit(self) -> float:
        """The loss is high above it."""
        limits = [math.inf]
        if self.steps:
            limits.append(self.level + max(_HIGH_NATS, _HIGH_SPREADS * self.spread))
        if self.ceiling is not None:
            limits.append(self.ceiling)
        return min(limits)

    @property
    def is_high(self) -> bool:
        """Whether the loss of the last step was high: the weights may be bad."""
        return self.high_steps > 0

    @property
    def has_leapt(self) -> bool:
        return self.high_steps >= _LEAP_STEPS

    def observe(self, loss: float) -> None:
        """Count the loss of a step."""
        if loss > self.limit:
            self.high_steps += 1
            return
        self.high_steps = 0
        self.steps += 1
        weight = max(1 / self.steps, 1 / _MEMORY_STEPS)
        self.level += weight * (loss - self.level)
        self.spread += weight * (abs(loss - self.level) - self.spread)

    def describe(self) -> str:
        """Describe the leap, for an error."""
        level = f", after {self.level:.2f}" if self.steps else ""
        return f"the loss has been above {self.limit:.2f} for {self.high_steps} steps{level}"


def is_divergence(loss: float, earlier_loss: float) -> bool:
    """Return whether weights are clearly worse than earlier weights on the same batch.

    Both losses are in nats per character. If the weights are not worse, the text is harder.
    """
    return not loss <= earlier_loss + _HIGH_NATS / 2


def advice(config: Config) -> str:
    """Return the settings to change in a config with which training diverges."""
    training = config.training
    rate = f"a lower training.learning_rate (now {training.learning_rate:g})"
    if training.max_gradient_norm is None:
        clipping = "training.max_gradient_norm=1 (now gradients are not clipped)"
        return f"start a new run with {clipping}, or {rate}"
    if config.model.cell == "rnn" and config.model.nonlinearity == "relu":
        return f"start a new run with model.nonlinearity=tanh, or {rate}"
    clipping = f"a lower training.max_gradient_norm (now {training.max_gradient_norm:g})"
    return f"start a new run with {rate} or {clipping}"
