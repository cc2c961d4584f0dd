"""Read the initial network that `training.start_from` names."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from charlm.config.schema import EnsembleConfig
from charlm.models.language_model import LanguageModel
from charlm.runs.checkpoint import Checkpoint, read_checkpoint
from charlm.runs.folder import checkpoint_to_use

NETWORK_LOSSES = "network_losses"
"""Counter in the checkpoint of an ensemble: the validation loss of each network."""


def read_start(place: str) -> tuple[Checkpoint, str]:
    """Return the initial network, and a remark for the user, or "".

    Of an ensemble it is the network with the best loss on the validation split. Without such a
    split it is the student, or the first network.
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
    config = checkpoint.config.model_copy(update={"ensemble": EnsembleConfig()})
    weights = model.members[best].state_dict()
    remark = f"{place} is an ensemble; starting from network {best + 1} of {len(model.members)}"
    alone = replace(checkpoint, config=config, weights=weights, training_counters={})
    return replace(alone, training_tensors={}, opening_tensors={}), f"{remark}, {reason}"


def _losses(written: Any, size: int) -> list[float] | None:
    """Return the losses of a file; none if they are not in the format that charlm writes."""
    if not isinstance(written, list) or len(written) != size:
        return None
    is_finite = all(isinstance(loss, float) and math.isfinite(loss) for loss in written)
    return written if is_finite else None
