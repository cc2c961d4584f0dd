"""The text of which an ensemble counts n-grams: kept in its checkpoint, or read again."""

from pathlib import Path

import numpy as np
from torch import Tensor

from charlm.checkpoint import Checkpoint
from charlm.corpus import Corpus
from charlm.corpus_builder import encode_files
from charlm.ensemble import AnyModel, Ensemble
from charlm.errors import CorpusError
from charlm.provenance import Record
from charlm.scored_text import training_corpus
from charlm.vocabulary import Ids

_MOST_COUNTED = 4_000_000
"""Characters of training text, its last, of which n-grams are counted: some hundred bytes each."""


def text_to_count(corpus: Corpus) -> Ids:
    """Return the training text of which n-grams are counted, in memory."""
    return np.array(corpus.parts["train"].ids[-_MOST_COUNTED:])


def tensors_to_save(model: AnyModel, checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return what a checkpoint keeps of a model: the text only if `ensemble.keep_text` says so."""
    tensors = model.tensors()
    if isinstance(model, Ensemble) and not checkpoint.config.ensemble.keep_text:
        del tensors["counted"]
    return tensors


def kept_characters(checkpoint: Checkpoint) -> int:
    """Return how many characters of text a checkpoint holds in their order."""
    if not checkpoint.config.ensemble.ngram_order:  # single characters: only how many there are
        return 0
    counted = checkpoint.weights.get("counted")
    return 0 if counted is None else int((counted >= 0).sum())  # −1 stands between two texts


def count_again(model: AnyModel, checkpoint: Checkpoint, path: Path) -> None:
    """Count the n-grams of a model whose checkpoint, at `path`, does not hold their text.

    Raises `CorpusError` if the text is no longer where it was.
    """
    if not isinstance(model, Ensemble) or "counted" in checkpoint.weights:
        return
    is_of_run = path.parent.name == "checkpoints"
    run = str(path.parent.parent) if is_of_run else "RUN"
    remedy = (
        f"or say where it is now with `charlm train --resume {run} --text FILE`; {run}/member-1 "
        "needs no text"
    )
    corpus = training_corpus(checkpoint, remedy)
    model.count(text_to_count(corpus))
    for record in checkpoint.provenance:
        if record.use == "followed" and not record.through:
            model.count(_followed_ids(record, corpus, checkpoint, remedy))


def _followed_ids(record: Record, corpus: Corpus, checkpoint: Checkpoint, remedy: str) -> Ids:
    """Return a text that the model has followed: a part of the training text, or another."""
    where = (record.digest, record.start, record.end)
    for part in corpus.parts.values():
        if (part.origin.digest, part.origin.start, part.origin.start + len(part)) == where:
            return np.array(part.ids)
    text = encode_files(record.paths, checkpoint.config.corpus, checkpoint.vocabulary)
    part = text.parts["test"]
    if (part.origin.digest, 0, len(part)) != where:
        raise CorpusError(
            f"{record.name}: no longer the text that this model has followed; restore it, {remedy}"
        )
    return np.array(part.ids)
