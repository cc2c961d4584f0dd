"""Write a network as a folder that PyTorch alone loads, and read it back.

| file                | content                                                                 |
|---------------------|-------------------------------------------------------------------------|
| `model.py`          | the network in PyTorch's modules (`torch_code`)                         |
| `model.safetensors` | its weights (`torch_layout`)                                            |
| `config.json`       | `format_version`; the sections `model` and `generation` of the config,  |
|                     | and of `corpus` what says how a text is read, without folders;          |
|                     | `boundary_id` of records, or null; `fingerprint` of the training text   |
| `vocabulary.json`   | unit, code point or byte of each id (null: unknown), and normal form    |
| `provenance.json`   | a `Record` of each text that the weights have seen, and its hashes      |
| `README.md`         | the model card                                                          |
"""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch

from charlm.config.load import make_config
from charlm.config.schema import CorpusConfig
from charlm.corpus.provenance import Record
from charlm.errors import CheckpointError, ConfigError, file_errors
from charlm.export.exported import Exported, from_json, read_exported, to_json
from charlm.export.model_card import model_card
from charlm.export.torch_code import torch_code
from charlm.export.torch_layout import from_torch_layout, to_torch
from charlm.files.atomic import sync_folder
from charlm.files.build_folder import built_in
from charlm.files.locations import from_user
from charlm.files.untrusted import InvalidDataError, as_ascii, item, parse_json, read_bounded
from charlm.models.device import choose_device
from charlm.prediction.predictor import Predictor
from charlm.runs.checkpoint import Checkpoint
from charlm.runs.checkpoint_header import end_offset, open_file, read_header

_FORMAT_VERSION = 1
_CODE, _WEIGHTS, _CARD = "model.py", "model.safetensors", "README.md"
_CONFIG, _VOCABULARY, _PROVENANCE = "config.json", "vocabulary.json", "provenance.json"
_READING = ("unit", "newlines", "normal_form", "records", "column")
"""Keys of the section `corpus` that say how a text is read."""
_REMEDY = "name a folder that `charlm export --to torch` wrote"


def write_torch(checkpoint: Path, output: Path) -> list[str]:
    """Write the network of a checkpoint as a new folder; return what to tell the user.

    Raises `CharlmError` for an ensemble.
    """
    exported = read_exported(checkpoint)
    contents = {
        _CODE: torch_code(exported).encode(),
        _WEIGHTS: safetensors.torch.save(
            to_torch(exported.network.config, exported.network.state_dict()), {"format": "pt"}
        ),
        _CONFIG: _to_bytes(_config_fields(exported)),
        _VOCABULARY: _to_bytes(_vocabulary_fields(exported)),
        _PROVENANCE: _to_bytes(_provenance_fields(exported)),
        _CARD: model_card(exported, output.absolute().name).encode("utf-8", "replace"),
    }
    with (
        file_errors("be written", output, "free some space"),
        built_in(output.absolute().parent) as building,
    ):
        folder = building / "whole"
        folder.mkdir()
        for name, content in contents.items():
            with (folder / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        sync_folder(folder)
        folder.rename(output)
        sync_folder(output.absolute().parent)
    return [f"{_CODE} loads it with PyTorch alone; {_CARD} is its model card"]


def from_torch(folder: str | os.PathLike[str], *, device: str = "auto") -> Predictor:
    """Load a model from a folder that `charlm export --to torch` wrote.

    It has the weights of the folder, also if they were trained further with PyTorch, and no
    opening: without a prefix, a text starts after a newline. Raises `CheckpointError` if the
    folder is not such a model.
    """
    place = from_user(folder)
    try:
        checkpoint = _read(place)
        model = checkpoint.make_model(choose_device(device))
    except (InvalidDataError, ConfigError, safetensors.SafetensorError) as reason:
        line = " ".join(str(reason).split())
        raise CheckpointError(f"{place}: not an exported model ({line:.300}); {_REMEDY}") from None
    return Predictor(model, checkpoint.vocabulary, checkpoint.config, checkpoint, place / _WEIGHTS)


def _read(folder: Path) -> Checkpoint:
    fields = _parse(folder / _CONFIG, 1)
    if (version := item(fields, "format_version", int)) != _FORMAT_VERSION:
        raise InvalidDataError(f"format {version}, and this charlm reads {_FORMAT_VERSION}")
    sections = {name: item(fields, name, dict) for name in ("model", "corpus", "generation")}
    config = make_config(sections, str(folder / _CONFIG))
    weights = folder / _WEIGHTS
    with file_errors("be read", weights, _REMEDY, CheckpointError), open_file(weights) as file:
        for name, entry in read_header(file).items():
            if name != "__metadata__":
                end_offset(entry)
        file.seek(0)
        tensors = safetensors.torch.load(file.read())
    return Checkpoint(
        config,
        from_json(_parse(folder / _VOCABULARY, 16)),
        item(fields, "fingerprint", str),
        from_torch_layout(config.model, tensors),
        provenance=_provenance(_parse(folder / _PROVENANCE, 16)),
    )


def _provenance(fields: Any) -> tuple[Record, ...]:
    """Restore records; paths of texts that the model was adapted to are not in the folder."""
    records = []
    for entry in item(fields, "texts", list):
        hashes = item(entry, "hashes", list)
        if not all(type(one) is int and -(2**63) <= one < 2**63 for one in hashes):
            raise InvalidDataError("a record of a text has an invalid sketch")
        records.append(Record.from_json(entry, np.array(hashes, np.int64)))
    return tuple(records)


def _parse(path: Path, megabytes: int) -> Any:
    with file_errors("be read", path, _REMEDY, CheckpointError):
        return parse_json(as_ascii(read_bounded(path, megabytes)))


def _to_bytes(fields: dict[str, Any]) -> bytes:
    return f"{json.dumps(fields)}\n".encode("ascii")


def _config_fields(exported: Exported) -> dict[str, Any]:
    config = exported.checkpoint.config
    return {
        "format_version": _FORMAT_VERSION,
        "model": config.model.model_dump(mode="json"),
        "corpus": _reading(config.corpus),
        "generation": config.generation.model_dump(mode="json"),
        "boundary_id": exported.boundary,
        "fingerprint": exported.checkpoint.fingerprint,
    }


def _reading(corpus: CorpusConfig) -> dict[str, Any]:
    """Return how a text is read, and the names of the files of the training text."""
    fields = corpus.model_dump(mode="json", include=set(_READING))
    names = [path if path == "-" else Path(path).name for path in corpus.paths]
    return fields | ({"paths": names} if names else {"builtin": corpus.builtin})


def _provenance_fields(exported: Exported) -> dict[str, Any]:
    texts = [
        {**replace(one, paths=()).to_json(), "hashes": one.sketch.hashes.view(np.int64).tolist()}
        for one in exported.checkpoint.provenance
    ]
    return {"texts": texts}


def _vocabulary_fields(exported: Exported) -> dict[str, Any]:
    corpus = exported.checkpoint.config.corpus
    reading = {"normal_form": corpus.normal_form, "line_ends": corpus.line_ends}
    return reading | to_json(exported.checkpoint.vocabulary)
