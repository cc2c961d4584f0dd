"""The checkpoint: a model, its config and vocabulary, and the state of its training, in one file.

The file is in the format safetensors; it contains numbers and JSON, and no code:

| bytes           | content                                                                     |
|-----------------|-----------------------------------------------------------------------------|
| 8               | size of the header, little-endian                                           |
| size            | header, JSON: name, type, shape and offsets of each tensor; and the entry   |
|                 | `__metadata__`, whose key `charlm` holds the metadata, JSON as a string     |
| the rest        | the tensors                                                                 |

| metadata key    | content                                                                     |
|-----------------|-----------------------------------------------------------------------------|
| format_version  | `FORMAT_VERSION`; a file of another version is refused                      |
| sha256          | SHA-256 of the whole file, in which this digest is 64 zeros                 |
| config          | the whole `Config`                                                          |
| compute         | `Compute`: precision and threads of the run                                 |
| vocabulary      | unit and symbols of the `Vocabulary`                                        |
| fingerprint     | digest of the training text and of the settings that determine its ids      |
| counters        | counters of training: step, seconds, position in the text, best loss, …     |
| provenance      | a `Record` of each text that the weights have seen                          |

| tensor          | content                                                                     |
|-----------------|-----------------------------------------------------------------------------|
| model.*         | weights to predict with (`model.tensors()`); averaged if training averages  |
| training.*      | recurrent states, optimiser, and the weights before averaging; only in      |
|                 | checkpoints from which a run can be resumed                                 |
| opening.*       | ids and states of the `Opening` for text without a prefix                   |
| provenance.*    | hashes of the sketch of each `Record`, by its number                        |

A crash while a checkpoint is written leaves the previous one whole (`files.atomic`).
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from charlm.config.load import make_config
from charlm.config.schema import Config
from charlm.corpus.provenance import Record
from charlm.corpus.records import boundary_of
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import CheckpointError, ConfigError, file_errors
from charlm.files.atomic import write_whole
from charlm.files.untrusted import InvalidDataError, checked, item
from charlm.kernels.compute import Compute
from charlm.models.ensemble import AnyModel, Ensemble
from charlm.models.language_model import LanguageModel
from charlm.models.ngrams.parts import parts_for
from charlm.models.openings import Opening
from charlm.models.weights import checked_weights
from charlm.runs.checkpoint_digest import NO_DIGEST, check_digest, with_digest
from charlm.runs.checkpoint_header import (
    FORMAT_VERSION,
    METADATA,
    open_file,
    read_header,
    read_metadata,
    step_of,
)


@dataclass(frozen=True)
class Checkpoint:
    """A model, its config and vocabulary, and the state of its training."""

    config: Config
    vocabulary: Vocabulary
    fingerprint: str
    """Digest of the training text and of the settings that determine its ids."""
    weights: dict[str, Tensor]
    """Weights to predict with. If training averages them, `training_tensors` has the others."""
    training_tensors: dict[str, Tensor] = field(default_factory=dict)
    """State of the trainer; empty if no run can be resumed from the checkpoint."""
    training_counters: dict[str, Any] = field(default_factory=dict)
    """Step, seconds, position in the text, best loss, …; their meaning is that of the trainer."""
    opening_tensors: dict[str, Tensor] = field(default_factory=dict)
    """Tensors of the `Opening` for text without a prefix."""
    compute: Compute = field(default_factory=Compute)
    """Precision and threads of the run."""
    provenance: tuple[Record, ...] = ()
    """Records of all texts that the weights have seen."""

    @property
    def step(self) -> int | None:
        """Number of steps that the weights were trained for, of all networks; None if unknown."""
        return step_of(self.training_counters)

    def make_model(self, device: torch.device | str = "cpu") -> AnyModel:
        """Build the model with its trained weights, ready to predict."""
        model: AnyModel
        size, boundary = len(self.vocabulary), boundary_of(self.config.corpus, self.vocabulary)
        try:
            if self.config.ensemble.is_wanted:
                model = Ensemble.from_tensors(
                    self.config,
                    size,
                    self.weights,
                    boundary,
                    parts_for(self.config.ensemble, self.vocabulary),
                )
            else:
                with torch.device("meta"):  # no memory before the shapes are checked
                    model = LanguageModel(self.config.model, size, boundary)
                model.load_state_dict(checked_weights(model, self.weights), assign=True)
        except InvalidDataError as reason:
            raise CheckpointError(
                f"the weights do not match the config of the checkpoint: {reason!s:.300}; use "
                "another checkpoint, or a copy"
            ) from None
        return model.to(device).eval()

    def make_opening(self, model: AnyModel) -> Opening | None:
        """Return the opening for text without a prefix, for the model that `make_model` built."""
        try:
            return Opening.of_tensors(model, self.opening_tensors)
        except InvalidDataError as reason:
            raise CheckpointError(
                f"the opening does not match the model: {reason}; use another checkpoint of the run"
            ) from None


def write_checkpoint(path: Path, checkpoint: Checkpoint, *, is_new: bool = False) -> None:
    """Write a checkpoint atomically: after a crash, `path` is the old one or the new one, whole.

    With `is_new`, raise `CheckpointError` if the file exists.
    """
    sketches = {
        str(number): torch.from_numpy(record.sketch.hashes.view(np.int64))
        for number, record in enumerate(checkpoint.provenance)
    }
    groups = {
        "model": checkpoint.weights,
        "training": checkpoint.training_tensors,
        "opening": checkpoint.opening_tensors,
        "provenance": sketches,
    }
    tensors = {
        f"{group}.{name}": tensor.detach().cpu().contiguous()
        for group, members in groups.items()
        for name, tensor in members.items()
    }
    metadata = {
        "format_version": FORMAT_VERSION,
        "sha256": NO_DIGEST,
        "config": checkpoint.config.model_dump(mode="json"),
        "compute": asdict(checkpoint.compute),
        "vocabulary": checkpoint.vocabulary.to_json(),
        "fingerprint": checkpoint.fingerprint,
        "counters": checkpoint.training_counters,
        "provenance": [record.to_json() for record in checkpoint.provenance],
    }
    data = with_digest(safetensors.torch.save(tensors, {METADATA: json.dumps(metadata)}))
    note = "; the previous checkpoint is whole" if path.exists() and not is_new else ""
    remedy = f"free some space{note}"
    with file_errors("be written", path, remedy, CheckpointError):
        write_whole(path, data, is_new=is_new)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and check a checkpoint; raises `CheckpointError` unless it is whole."""
    with file_errors("be read", path, "check the path", CheckpointError), open_file(path) as file:
        metadata = read_metadata(path, file)
        file.seek(0)
        data = file.read()
        check_digest(path, data, metadata["sha256"])
        return _checkpoint_of(path, data, metadata)


def is_readable(path: Path) -> bool:
    """Return whether `read_checkpoint` reads the file."""
    try:
        read_checkpoint(path)
    except CheckpointError:
        return False
    return True


def is_checkpoint(path: Path) -> bool:
    """Return whether a file has the header of a charlm checkpoint; the rest may be damaged."""
    with open_file(path) as file:
        try:
            return METADATA in item(read_header(file), "__metadata__", dict)
        except InvalidDataError:
            return False


def _checkpoint_of(path: Path, data: bytes, metadata: dict[str, Any]) -> Checkpoint:
    try:
        tensors = safetensors.torch.load(data)
        return Checkpoint(
            config=make_config(item(metadata, "config", dict), str(path)),
            vocabulary=Vocabulary.from_json(item(metadata, "vocabulary", dict)),
            fingerprint=item(metadata, "fingerprint", str),
            weights=_group(tensors, "model."),
            training_tensors=_group(tensors, "training."),
            training_counters=item(metadata, "counters", dict),
            opening_tensors=_group(tensors, "opening."),
            compute=checked(Compute, item(metadata, "compute", dict)),
            provenance=_provenance(
                item(metadata, "provenance", list), _group(tensors, "provenance.")
            ),
        )
    except (safetensors.SafetensorError, ConfigError, InvalidDataError) as reason:
        line = " ".join(str(reason).split())
        raise CheckpointError(
            f"{path}: not a checkpoint that this charlm reads ({line:.300}); use another "
            "checkpoint of the run, or a copy"
        ) from None


def _provenance(entries: list[Any], sketches: dict[str, Tensor]) -> tuple[Record, ...]:
    if set(sketches) != {str(number) for number in range(len(entries))}:
        raise InvalidDataError("the sketches do not match the records of texts")
    return tuple(
        Record.from_json(entry, sketches[str(number)].numpy())
        for number, entry in enumerate(entries)
    )


def _group(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return copies of the tensors with a prefix: those of the file share one block of memory."""
    return {n.removeprefix(prefix): t.clone() for n, t in tensors.items() if n.startswith(prefix)}
