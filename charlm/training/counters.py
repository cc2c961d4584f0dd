"""Counters of the training loop: means for the log, and the best validation so far."""

from dataclasses import dataclass, field
from typing import Any

from charlm.files.untrusted import Count, Finite, Seconds, checked
from charlm.training.divergence import LossWatch
from charlm.training.step_result import StepResult


@dataclass
class Mean:
    """Mean losses over the characters of some steps, kept as totals."""

    nats: Finite = 0.0
    characters: Count = 0
    seconds: Seconds = 0.0
    distillation_nats: Finite | None = None
    """Total of the distillation loss, which training minimises if there are teachers."""

    def add(self, step: StepResult) -> None:
        self.nats += step.loss * step.characters
        if step.distillation_loss is not None:
            nats = step.distillation_loss * step.characters
            self.distillation_nats = nats + (self.distillation_nats or 0.0)
        self.characters += step.characters
        self.seconds += step.step_seconds

    @property
    def loss(self) -> float | None:
        return self.nats / self.characters if self.characters else None

    @property
    def losses(self) -> dict[str, float]:
        """The mean losses by name: on the text and, with teachers, of the distillation."""
        nats = {"loss": self.nats, "distillation_loss": self.distillation_nats}
        return {name: total / self.characters for name, total in nats.items() if total is not None}


@dataclass
class Counters:
    """What the training loop counts beside the trainer; a checkpoint contains all fields."""

    elapsed: Seconds = 0.0
    """Seconds since training began, with validation, up to the last resumption."""
    overhead: Seconds = 0.0
    """Seconds of a time budget for everything but training, over all commands."""
    validation_characters: Count = 0
    """Characters of the validation split that a short budget allows to score; 0 if it allows all.

    It never changes after the first validation: losses of one run are of the same characters.
    """
    best_loss: Finite | None = None
    """The lowest validation loss, in nats per character."""
    validated_step: Count = 0
    """The step of the last validation."""
    validations_since_best: Count = 0
    last_epoch_loss: Finite | None = None
    """The mean training loss of the last whole epoch."""
    line: Mean = field(default_factory=Mean)
    """Mean since the last training line in the log."""
    epoch: Mean = field(default_factory=Mean)
    """Mean since the start of the epoch."""
    watch: LossWatch = field(default_factory=LossWatch)
    save_is_due: bool = False
    """Whether a save was due while the loss was high, and is still to come."""
    is_regular: bool = True
    """Whether the save with these counters is regular, as `Rollback` explains."""
    rollbacks: Count = 0

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Counters":
        """Restore the counters of a checkpoint; raises `InvalidDataError`."""
        return checked(cls, fields)

    def keep_after_rollback(self, diverged: "Counters") -> None:
        """Keep what rolling back does not undo: time, best loss, number of rollbacks."""
        self.elapsed, self.overhead = diverged.elapsed, diverged.overhead
        self.validation_characters = diverged.validation_characters
        if self.best_loss != diverged.best_loss:
            self.best_loss, self.validations_since_best = diverged.best_loss, 0
        self.rollbacks = diverged.rollbacks + 1

    def training_loss(self, epochs: float) -> float | None:
        """Return the mean loss of the epoch in progress if half of it is done, else of the last.

        `epochs` is the number of epochs so far, in fractions.
        """
        if self.last_epoch_loss is None or epochs % 1 >= 0.5:
            return self.epoch.loss
        return self.last_epoch_loss

    def note_validation(self, loss: float) -> bool:
        """Count a validation; return whether it is the best so far."""
        is_best = self.best_loss is None or loss < self.best_loss
        if is_best:
            self.best_loss, self.validations_since_best = loss, 0
        else:
            self.validations_since_best += 1
        return is_best


def is_due(step: int, every: int | None) -> bool:
    """Return whether an action that repeats after `every` steps is due; None means never."""
    return every is not None and step % every == 0
