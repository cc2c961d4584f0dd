"""The result of one training step."""

from typing import NamedTuple


class StepResult(NamedTuple):
    """The measurements of one step."""

    step: int
    """Steps taken so far, this one included."""
    epoch: float
    """Epochs taken so far, in fractions."""
    seconds: float
    """Time spent in steps so far."""
    characters: int
    """Characters predicted in this step."""
    step_seconds: float
    """Time spent in this step."""
    loss: float
    """Mean cross-entropy on the text, in nats per character."""
    distillation_loss: float | None
    """Mean cross-entropy with the teachers' predictions and the text, which the step minimises.

    None without teachers: the step then minimises `loss`.
    """
    gradient_norm: float
    """Global L2 norm of the gradient before clipping."""
    learning_rate: float
