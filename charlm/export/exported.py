"""Read the network to export, and describe how it reads a text."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charlm.corpus.provenance import name_of_split
from charlm.corpus.records import boundary_of
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import CharlmError
from charlm.models.language_model import LanguageModel
from charlm.runs.checkpoint import Checkpoint, read_checkpoint
from charlm.runs.network_choice import chosen_network


@dataclass(frozen=True)
class Exported:
    """A network, and the checkpoint that it comes from."""

    path: Path
    checkpoint: Checkpoint
    network: LanguageModel

    @property
    def boundary(self) -> int | None:
        """The id before each record, where the state begins anew; None for running text."""
        return boundary_of(self.checkpoint.config.corpus, self.checkpoint.vocabulary)

    @property
    def text(self) -> str:
        """Name of the training text, without folders."""
        return name_of_split("train", self.checkpoint.config.corpus)


def read_exported(path: Path) -> Exported:
    """Read the network of a checkpoint; raises `CharlmError` for an ensemble."""
    checkpoint = read_checkpoint(path)
    ensemble = checkpoint.config.ensemble
    if ensemble.is_wanted:
        number, reason = chosen_network(ensemble, checkpoint.training_counters)
        folder = path.parent.parent if path.parent.name == "checkpoints" else Path("RUN")
        raise CharlmError(
            f"{path}: an ensemble; export one of its networks, such as "
            f"{folder / f'member-{number + 1}'}: {reason}"
        )
    network = checkpoint.make_model()
    assert isinstance(network, LanguageModel), "it is not an ensemble"
    return Exported(path, checkpoint, network)


def to_json(vocabulary: Vocabulary) -> dict[str, Any]:
    """Return a vocabulary for other programs: the code point or byte of each id.

    That of the unknown symbol is null.
    """
    unknown = [] if vocabulary.unknown_id is None else [None]
    return {"unit": vocabulary.unit, "symbols": [*unknown, *vocabulary.symbols]}


def from_json(fields: Any) -> Vocabulary:
    """Restore a vocabulary from `to_json`; raises `InvalidDataError` for anything else."""
    if type(fields) is dict and type(symbols := fields.get("symbols")) is list:
        fields = fields | {"symbols": [one for one in symbols if one is not None]}
        vocabulary = Vocabulary.from_json(fields)
        if to_json(vocabulary)["symbols"] == symbols:
            return vocabulary
    return Vocabulary.from_json({})
