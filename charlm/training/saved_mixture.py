"""Read the mixture that an ensemble has saved, as long as its networks are the same."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from charlm.config.schema import Config
from charlm.errors import CheckpointError
from charlm.models.ensemble import Ensemble
from charlm.prediction.ngram_text import count_again, tensors_to_save
from charlm.runs.checkpoint import Checkpoint, read_checkpoint
from charlm.runs.folder import RunFolder

VALIDATED = "validated_characters"
"""Key of a counter in the checkpoint of an ensemble: how many characters validation scores."""


def saved_mixture(
    folder: RunFolder, config: Config, networks: Sequence[Checkpoint], device: torch.device
) -> tuple[Ensemble, Checkpoint] | None:
    """Return the ensemble in the best checkpoint, and that checkpoint with the current settings.

    Returns None if there is none, or if it is a mixture of other weights than those of `networks`.
    """
    try:
        saved = read_checkpoint(folder.best)
    except CheckpointError:
        return None
    validated = saved.training_counters.get(VALIDATED, 0)
    if validated is not None and not (type(validated) is int and validated > 0):
        return None
    if not _is_of(saved, networks):
        return None
    ensemble = saved.make_model(device)
    if not isinstance(ensemble, Ensemble):
        return None
    moved = replace(saved, config=config, compute=networks[0].compute)
    count_again(ensemble, moved, folder.best)
    return ensemble, replace(moved, weights=tensors_to_save(ensemble, moved))


def _is_of(saved: Checkpoint, networks: Sequence[Checkpoint]) -> bool:
    """Return whether a mixture has the weights and the text of these networks."""
    theirs = {
        f"members.{number}.{name}": tensor
        for number, network in enumerate(networks)
        for name, tensor in network.weights.items()
    }
    ours = {name: one for name, one in saved.weights.items() if name.startswith("members.")}
    return (
        saved.fingerprint == networks[0].fingerprint
        and ours.keys() == theirs.keys()
        and all(torch.equal(one, theirs[name]) for name, one in ours.items())
    )
