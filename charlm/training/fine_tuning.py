"""Reading of the initial network that `training.start_from` names."""

import math
from pathlib import Path
from typing import Any

from charlm.config.schema import EnsembleConfig
from charlm.models.language_model import LanguageModel
from charlm.runs.checkpoint import Checkpoint, read_checkpoint
from charlm.runs.finding import checkpoint_to_use

NETWORK_LOSSES = "network_losses"
"""Key of a counter in the checkpoint of an ensemble: the validation loss of each network."""


def read_start(place: str) -> tuple[Checkpoint, str]:
    """Return the checkpoint of the initial network, and a remark for the user or "".

    Of an ensemble, it is the network with the lowest loss on the validation split. Without such a
    split, it is the student or the first network.
    """
    checkpoint = read_checkpoint(checkpoint_to_use(Path(place)))
    model = checkpoint.make_model()
    if isinstance(model, LanguageModel):
        return checkpoint, ""
    losses = _losses(checkpoint.training_counters.get(NETWORK_LOSSES), len(model.members))
    if losses is not None:
        best = losses.index(min(losses))
        reason = f"the best on the validation split ({losses[best]:.4f} nats per character)"
    elif checkpoint.config.ensemble.student:
        best, reason = len(model.members) - 1, "the student"
    else:
        best, reason = 0, "the first one, because there is no validation split to compare them on"
    config = checkpoint.config.replace(ensemble=EnsembleConfig())
    weights = model.members[best].state_dict()
    remark = f"{place} is an ensemble; starting from network {best + 1} of {len(model.members)}"
    network = Checkpoint(
        config,
        checkpoint.vocabulary,
        checkpoint.fingerprint,
        weights,
        compute=checkpoint.compute,
        provenance=checkpoint.provenance,
    )
    return network, f"{remark}, {reason}"


def _losses(stored: Any, size: int) -> list[float] | None:
    """Return the losses in a checkpoint, or None if it has no finite loss for each network."""
    if not isinstance(stored, list) or len(stored) != size:
        return None
    is_finite = all(isinstance(loss, float) and math.isfinite(loss) for loss in stored)
    return stored if is_finite else None
