"""A text among files that charlm did not make."""

import hashlib

import pytest

from charlm.corpus import catalogue

TEXT = "the rain came in, and nobody on the platform said a word.\n" * 12


SMALL = [
    f"--set={setting}"
    for setting in (
        *("model.hidden_size=4", "model.embedding_size=4", "batches.batch_size=4"),
        *("batches.sequence_length=8", "generation.length=2", "training.device=cpu"),
        *("training.save_every=1", "training.keep_checkpoints=1", "training.precision=float32"),
        *("training.threads=1", "training.validate_every=2"),
    )
]


def list_the_tale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `TEXT` the only text of the catalogue, under the name `tale`."""
    entry = catalogue.DownloadableText(
        title="A tale",
        address="nowhere",
        size=len(TEXT),
        sha256=hashlib.sha256(TEXT.encode()).hexdigest(),
        licence="none",
    )
    monkeypatch.setattr(catalogue, "catalogue", lambda: {"tale": entry})
