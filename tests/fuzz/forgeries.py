"""Checkpoints to damage and to forge, with a right digest, and what uses them."""

import hashlib
import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from charlm.config.schema import Config, EnsembleConfig, ModelConfig
from charlm.corpus.vocabulary import Vocabulary
from charlm.models.ensemble import Ensemble
from charlm.models.language_model import LanguageModel
from charlm.models.openings import Opening, choose_passages
from charlm.prediction import evaluation, generation, predictor
from charlm.runs.checkpoint import Checkpoint, write_checkpoint


def sealed(about: dict[str, Any], tensors: dict[str, torch.Tensor]) -> bytes:
    """Make a checkpoint's bytes with a right digest: whoever forges one computes it, too."""
    data = save(tensors, {"charlm": json.dumps(about | {"sha256": "0" * 64})})
    return data.replace(b"0" * 64, hashlib.sha256(data).hexdigest().encode(), 1)


def about_of(data: bytes) -> dict[str, Any]:
    header = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])
    about: dict[str, Any] = json.loads(header["__metadata__"]["charlm"])
    return about


def whole_checkpoint(folder: Path, ensemble: bool) -> Checkpoint:
    config = Config(model=ModelConfig(hidden_size=3, embedding_size=2))
    vocabulary = Vocabulary((10, 97, 98))
    model = LanguageModel(config.model, len(vocabulary))
    model.initialize(torch.Generator().manual_seed(0))
    weights = model.state_dict()
    if ensemble:
        config = config.model_copy(update={"ensemble": EnsembleConfig(ngram_order=1)})
        ids = vocabulary.encode_text("abba\n")
        weights = Ensemble([model], 1, ids).tensors()
    whole = Checkpoint(config, vocabulary, "0", weights)
    made, ids = whole.make_model(), vocabulary.encode_text("abba\nabab\n" * 9)
    opening = Opening.of_passages(made, choose_passages(ids, vocabulary, 0))
    assert opening is not None
    whole = replace(whole, opening_tensors=opening.tensors())
    write_checkpoint(folder / "whole", whole)
    return whole


def use(path: Path, text: Path) -> None:
    """Read a checkpoint, write with it, and score a text with it."""
    loaded = predictor.load(path, device="cpu")
    score = evaluation.evaluate(loaded, text=text)
    about = [overlap.to_json() for overlap in score.overlaps]
    json.dumps([score.to_json(), score.protocol, about], allow_nan=False)
    list(generation.generate(loaded, length=3, seed=0, greedy=False, top_k=2))


def with_size(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header
