"""A checkpoint is one safetensors file: it holds all that a model needs, and cannot run code.

The header's metadata carries vocabulary, config, the text's fingerprint and a SHA-256 of the
whole file (taken with the digest's own place zeroed), so that a flipped byte is noticed. Files are
written beside their place, synchronised and then renamed: a crash leaves the one before whole.
"""

import hashlib
import json
import math
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from charlm.config.load import make_config
from charlm.config.schema import Config
from charlm.corpus.provenance import Record
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import CheckpointError, ConfigError, file_errors
from charlm.files.atomic import write_whole
from charlm.files.untrusted import InvalidDataError, as_ascii, item, parse_json
from charlm.models.ensemble import AnyModel, Ensemble
from charlm.models.language_model import LanguageModel, checked_weights
from charlm.models.openings import Opening

FORMAT_VERSION = 3
_KINDS = {*("F64", "F32", "F16", "BF16", "C64", "I64", "I32", "I16", "I8", "U8", "BOOL")}
"""Data types that all versions of PyTorch support; charlm writes few of them."""
_MOST_SIZE = 2**60
"""Limit for the product of the nonzero sizes of a tensor, which PyTorch computes."""
_NO_DIGEST = "0" * 64
_MOST_OF_HEADER = 9_400_000
"""Bytes: the symbols of a vocabulary of all code points take 8.9 million."""


@dataclass(frozen=True)
class Checkpoint:
    """A model, what it was trained on and how, and all that continuing the run needs."""

    config: Config
    vocabulary: Vocabulary
    fingerprint: str
    """Of the text and the settings that its ids came from."""
    weights: dict[str, Tensor]
    """To predict with: averaged, where the run averages. Its own are then among those below."""
    training_tensors: dict[str, Tensor] = field(default_factory=dict)
    """Of the trainer; none in a checkpoint that only predicts."""
    training_counters: dict[str, Any] = field(default_factory=dict)
    opening_tensors: dict[str, Tensor] = field(default_factory=dict)
    """Tensors of the `Opening` for text without a prefix."""
    provenance: tuple[Record, ...] = ()
    """Records of all texts that the weights have seen."""

    def make_model(self, device: torch.device | str = "cpu") -> AnyModel:
        """Build the model with its trained weights, ready to predict."""
        model: AnyModel
        size = len(self.vocabulary)
        try:
            if self.config.ensemble.is_wanted:
                model = Ensemble.from_tensors(self.config, size, self.weights)
            else:
                with torch.device("meta"):  # no memory for what the file does not hold
                    model = LanguageModel(self.config.model, size)
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
    """Write a checkpoint so that `path` always holds the old one or the new one whole.

    With `is_new`, raise `CheckpointError` if the file exists.
    """
    sketches = {
        str(number): torch.from_numpy(record.sketch.hashes.view(np.int64))
        for number, record in enumerate(checkpoint.provenance)
    }
    named = {
        "model": checkpoint.weights,
        "training": checkpoint.training_tensors,
        "opening": checkpoint.opening_tensors,
        "provenance": sketches,
    }
    tensors = {
        f"{kind}.{name}": tensor.detach().cpu().contiguous()
        for kind, group in named.items()
        for name, tensor in group.items()
    }
    about = {
        "format_version": FORMAT_VERSION,
        "sha256": _NO_DIGEST,
        "config": checkpoint.config.model_dump(mode="json"),
        "vocabulary": checkpoint.vocabulary.to_json(),
        "fingerprint": checkpoint.fingerprint,
        "counters": checkpoint.training_counters,
        "provenance": [record.to_json() for record in checkpoint.provenance],
    }
    data = safetensors.torch.save(tensors, {"charlm": json.dumps(about)})
    digest = hashlib.sha256(data).hexdigest()
    data = data.replace(_NO_DIGEST.encode(), digest.encode(), 1)
    before = "; the checkpoint before it is whole" if path.exists() and not is_new else ""
    remedy = f"free some space{before}"
    with file_errors("be written", path, remedy, CheckpointError):
        write_whole(path, data, is_new=is_new)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and verify a checkpoint; raises `CheckpointError` for anything but a whole one."""
    with file_errors("be read", path, "check the path", CheckpointError), _opened(path) as file:
        about = _about(path, file)
        file.seek(0)
        data = file.read()
        _check_digest(path, data, about)
        return _checkpoint_of(path, data, about)


def is_readable(path: Path) -> bool:
    """Return whether `read_checkpoint` reads the file."""
    try:
        read_checkpoint(path)
    except CheckpointError:
        return False
    return True


def is_checkpoint(path: Path) -> bool:
    """Return whether a file has the header of a charlm checkpoint; the rest may be damaged."""
    with _opened(path) as file:
        try:
            return "charlm" in item(_header(file), "__metadata__", dict)
        except InvalidDataError:
            return False


def _opened(path: Path) -> BinaryIO:
    """Open a file once for all checks and reads, because a writer may replace it at any time.

    It does not block on a pipe.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    number = os.open(path, flags)
    try:
        return os.fdopen(number, "rb")
    except OSError:  # a folder
        os.close(number)
        raise


def _checkpoint_of(path: Path, data: bytes, about: dict[str, Any]) -> Checkpoint:
    try:
        tensors = safetensors.torch.load(data)
        return Checkpoint(
            make_config(item(about, "config", dict), str(path)),
            Vocabulary.from_json(item(about, "vocabulary", dict)),
            item(about, "fingerprint", str),
            _group(tensors, "model."),
            _group(tensors, "training."),
            item(about, "counters", dict),
            _group(tensors, "opening."),
            _provenance(item(about, "provenance", list), _group(tensors, "provenance.")),
        )
    except (safetensors.SafetensorError, ConfigError, InvalidDataError) as reason:
        why = " ".join(str(reason).split())
        raise CheckpointError(
            f"{path}: not a checkpoint that this charlm reads ({why:.300}); use another checkpoint "
            "of the run, or a copy"
        ) from None


def _header(file: BinaryIO) -> dict[str, Any]:
    """Return the header of a safetensors file; raises `InvalidDataError`."""
    facts = os.fstat(file.fileno())
    if not stat.S_ISREG(facts.st_mode):
        raise InvalidDataError("not a regular file")
    size = int.from_bytes(file.read(8), "little")
    text = as_ascii(file.read(min(size, _MOST_OF_HEADER, facts.st_size)))
    if len(text) != size:
        raise InvalidDataError("truncated")
    header = parse_json(text)
    if type(header) is not dict:
        raise InvalidDataError("the header is not an object")
    return header


def _end_of(tensor: Any) -> int:
    """Return the end offset of a tensor in the header; raises `InvalidDataError`."""
    kind, shape = item(tensor, "dtype", str), item(tensor, "shape", list)
    offsets = item(tensor, "data_offsets", list)
    if kind not in _KINDS or len(offsets) != 2 or not set(map(type, shape + offsets)) <= {int}:
        raise InvalidDataError("an entry is not a tensor")
    if not (min(shape, default=0) >= 0 and math.prod(max(1, size) for size in shape) < _MOST_SIZE):
        raise InvalidDataError("the shape of the tensor is invalid")
    return int(offsets[1])


def _about(path: Path, file: BinaryIO) -> dict[str, Any]:
    """Read and check the header only; return charlm's metadata if format and size are valid."""
    try:
        header = _header(file)
        start = file.tell()
        about = parse_json(item(header.pop("__metadata__", None), "charlm", str))
        version, _ = item(about, "format_version", int), item(about, "sha256", str)
        ends = [_end_of(tensor) for tensor in header.values()]
        if os.fstat(file.fileno()).st_size != start + max(ends, default=0):
            raise InvalidDataError("incomplete")
    except InvalidDataError:
        raise CheckpointError(
            f"{path}: not a charlm checkpoint, or one cut short; give a run's folder, or "
            "another checkpoint of it"
        ) from None
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: written in format {version}, and this charlm reads format {FORMAT_VERSION}; "
            "upgrade charlm-rnn"
        )
    if version < FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: written by an older charlm, in format {version}; this charlm reads format "
            f"{FORMAT_VERSION}: train again, or use the older charlm"
        )
    return dict(about)


def _check_digest(path: Path, data: bytes, about: dict[str, Any]) -> None:
    stated = about["sha256"].encode(errors="replace")
    place, whole = data.find(stated), memoryview(data)
    digest = hashlib.sha256(whole[:place])
    digest.update(_NO_DIGEST.encode())
    digest.update(whole[place + len(stated) :])
    if digest.hexdigest().encode() != stated:
        raise CheckpointError(
            f"{path}: damaged (its SHA-256 is not the one that it states); use another checkpoint "
            "of the run, or a copy"
        )


def _provenance(entries: list[Any], sketches: dict[str, Tensor]) -> tuple[Record, ...]:
    if set(sketches) != {str(number) for number in range(len(entries))}:
        raise InvalidDataError("the sketches do not match the records of texts")
    return tuple(
        Record.from_json(entry, sketches[str(number)].numpy())
        for number, entry in enumerate(entries)
    )


def _group(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors of a kind, each in memory of its own (what is read is one block)."""
    return {n.removeprefix(prefix): t.clone() for n, t in tensors.items() if n.startswith(prefix)}
