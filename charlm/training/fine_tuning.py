"""Reading of the initial network that `training.start_from` names."""

from pathlib import Path

from charlm.config.schema import EnsembleConfig
from charlm.models.language_model import LanguageModel
from charlm.runs.checkpoint import Checkpoint, read_checkpoint
from charlm.runs.finding import checkpoint_to_use
from charlm.runs.network_choice import chosen_network


def read_start(place: str) -> tuple[Checkpoint, str]:
    """Return the checkpoint of the initial network, and a remark for the user or "".

    Of an ensemble, it is the network with the lowest loss on the validation split. Without such a
    split, it is the student or the first network.
    """
    checkpoint = read_checkpoint(checkpoint_to_use(Path(place)))
    model = checkpoint.make_model()
    if isinstance(model, LanguageModel):
        return checkpoint, ""
    best, reason = chosen_network(checkpoint.config.ensemble, checkpoint.training_counters)
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
