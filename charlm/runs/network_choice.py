"""Choose the one network of an ensemble that is used alone."""

import math
from typing import Any

from charlm.config.schema import EnsembleConfig

NETWORK_LOSSES = "network_losses"
"""Key of a counter in the checkpoint of an ensemble: the validation loss of each network."""


def chosen_network(ensemble: EnsembleConfig, counters: dict[str, Any]) -> tuple[int, str]:
    """Return the number of a network, from 0, and the reason for the choice.

    It is the network with the lowest loss on the validation split. Without such a split, it is
    the student or the first network.
    """
    losses = _losses(counters.get(NETWORK_LOSSES), ensemble.size)
    if losses is not None:
        best = losses.index(min(losses))
        return best, f"the best on the validation split (loss {losses[best]:.4f} nats)"
    if ensemble.student:
        return ensemble.size - 1, "the student"
    return 0, "the first one, because there is no validation split to compare them on"


def _losses(stored: Any, size: int) -> list[float] | None:
    """Return the losses in a checkpoint, or None if it has no finite loss for each network."""
    if not isinstance(stored, list) or len(stored) != size:
        return None
    is_finite = all(isinstance(loss, float) and math.isfinite(loss) for loss in stored)
    return stored if is_finite else None
