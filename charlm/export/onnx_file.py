"""Write a network as a file in ONNX, with what a program needs to read text with it.

| metadata key    | content                                                                     |
|-----------------|-----------------------------------------------------------------------------|
| `vocabulary`    | JSON: `unit` (character or byte), and `symbols`: the code point or byte of  |
|                 | each id, null for the unknown symbol                                        |
| `normal_form`   | Unicode normal form of the training text: none, NFC, NFD, NFKC or NFKD      |
| `line_ends`     | unify: CR LF and CR are read as LF; space: as a space; keep                 |
| `boundary_id`   | models of records: the id before each record; the graph forgets all before  |
|                 | it, so that a text begins with it; else empty                               |
| `training_text` | name of the training text                                                   |
| `fingerprint`   | digest of the training text and of how it was read                          |
"""

import json
from importlib.util import find_spec
from pathlib import Path

from charlm.errors import CharlmError, file_errors
from charlm.export.exported import Exported, read_exported, to_json
from charlm.files.atomic import write_whole

_LIMIT_PARAMETERS = 500_000_000
"""A file in ONNX has at most 2 GB; larger ones need a second file."""


def write_onnx(checkpoint: Path, output: Path) -> list[str]:
    """Write the network of a checkpoint as a new file in ONNX; return what to tell the user.

    Raises `CharlmError` for an ensemble, a network over 2 GB, or without the package onnx.
    """
    if find_spec("onnx") is None:
        raise CharlmError("--to onnx needs the package onnx: pip install 'charlm-rnn[export]'")
    exported = read_exported(checkpoint)
    if exported.network.num_parameters > _LIMIT_PARAMETERS:
        raise CharlmError(f"{checkpoint}: larger than the 2 GB of an ONNX file; use --to torch")
    from charlm.export.onnx_graph import OPSET, onnx_model  # noqa: PLC0415 - onnx is an extra

    model = onnx_model(exported.network, metadata_of(exported))
    with file_errors("be written", output, "free some space"):
        write_whole(output, model.SerializeToString(), is_new=True)
    return [f"ONNX, opset {OPSET}, float32; vocabulary and normal form are in its metadata"]


def metadata_of(exported: Exported) -> dict[str, str]:
    """Return the metadata of an ONNX file."""
    corpus, boundary = exported.checkpoint.config.corpus, exported.boundary
    return {
        "vocabulary": json.dumps(to_json(exported.checkpoint.vocabulary)),
        "normal_form": corpus.normal_form,
        "line_ends": corpus.line_ends,
        "boundary_id": "" if boundary is None else str(boundary),
        "training_text": exported.text,
        "fingerprint": exported.checkpoint.fingerprint,
    }
