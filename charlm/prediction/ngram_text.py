"""Store the text of an ensemble's n-grams in its checkpoint, or count it again on loading."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from charlm.corpus.builder import encode_files
from charlm.corpus.corpus import Corpus
from charlm.corpus.provenance import Record
from charlm.corpus.vocabulary import Ids
from charlm.environment.memory import physical_memory
from charlm.errors import CorpusError
from charlm.kernels.compiler import library
from charlm.models.ensemble import AnyModel, Ensemble
from charlm.runs.checkpoint import Checkpoint
from charlm.runs.training_text import training_corpus, with_paths

COUNT_LIMIT_CHARACTERS = 100_000_000
"""At most this many characters, the last of the training split, are counted.

A character takes 45 bytes in 5 million characters of mark-up, 22 in 20 million of Python (both
without lines), 17 in 98 million.
"""
_BYTES_PER_CHARACTER, _MEMORY_SHARE = 50, 0.5
"""Memory of a counted character, at most in the texts measured, and what counts may take of it."""
_NUMPY_LIMIT_CHARACTERS = 4_000_000
"""The limit without the compiled kernels: numpy counts slowly, in some 200 bytes a character."""
COUNTED = "counted_characters"
"""Counter of a checkpoint: how many characters were counted, the last of the training split."""


def most_counted() -> int:
    """Return how many characters this machine can count."""
    if library() is None:
        return _NUMPY_LIMIT_CHARACTERS
    memory = physical_memory() or 8 << 30
    return min(COUNT_LIMIT_CHARACTERS, int(_MEMORY_SHARE * memory) // _BYTES_PER_CHARACTER)


def text_to_count(corpus: Corpus, characters: int) -> Ids:
    """Return the part of the training split from which n-grams are counted, in memory."""
    return np.array(corpus.splits["train"].ids[-characters:])


def _counted_characters(checkpoint: Checkpoint) -> int:
    """Return how many characters of the training split the n-grams of a checkpoint count."""
    number = checkpoint.training_counters.get(COUNTED)
    if isinstance(number, int) and 0 < number <= COUNT_LIMIT_CHARACTERS:
        return number
    return COUNT_LIMIT_CHARACTERS


def tensors_to_save(model: AnyModel, checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return the tensors to save of a model; `ensemble.keep_text` decides about the text."""
    tensors = model.tensors()
    if isinstance(model, Ensemble) and not checkpoint.config.ensemble.keep_text:
        del tensors["counted"]
    return tensors


def stored_characters(checkpoint: Checkpoint) -> int:
    """Return how many characters of running text a checkpoint contains."""
    if not checkpoint.config.ensemble.ngram_order:  # the checkpoint has only character counts
        return 0
    counted = checkpoint.weights.get("counted")
    return 0 if counted is None else int((counted >= 0).sum())  # −1 stands between two texts


def count_again(
    model: AnyModel, checkpoint: Checkpoint, path: Path, text: Sequence[str | Path] = ()
) -> None:
    """Count the n-grams of a model whose checkpoint, at `path`, does not contain their text.

    `text` is used if it is the training text at another path. Raises `CorpusError` if the text has
    moved or changed.
    """
    if not isinstance(model, Ensemble) or "counted" in checkpoint.weights:
        return
    remedy = _remedy(path)
    corpus = training_corpus(with_paths(checkpoint, text) or checkpoint, remedy)
    model.count(text_to_count(corpus, _counted_characters(checkpoint)))
    for record in checkpoint.provenance:
        if record.use == "followed" and not record.through:
            model.count(_adapted_ids(record, corpus, checkpoint, remedy))


def _remedy(path: Path) -> str:
    """Return what can be done with a checkpoint whose training text is missing."""
    is_of_run = path.parent.name == "checkpoints"
    folder = path.parent.parent if is_of_run else path.parent
    command = f"train --resume {folder}" if is_of_run else f"eval {path}"
    remedy = f"name its new path with `charlm {command} --text FILE`"
    if not is_of_run:
        remedy += ", in Python with load(…, text=FILE)"
    members = sorted(folder.glob("member-*/checkpoints"))
    return f"{remedy}; {members[0].parent} needs no text" if members else remedy


def _adapted_ids(record: Record, corpus: Corpus, checkpoint: Checkpoint, remedy: str) -> Ids:
    """Return a text that the model was adapted to: of a split of the training text, or another."""
    for split in corpus.splits.values():
        start, end = record.start - split.origin.start, record.end - split.origin.start
        if split.origin.digest == record.digest and 0 <= start < end <= len(split):
            return np.array(split.ids[start:end])
    split = encode_files(record.paths, checkpoint.config.corpus, checkpoint.vocabulary)
    if (split.origin.digest, 0, len(split)) != (record.digest, record.start, record.end):
        raise CorpusError(
            f"{record.name}: the text has changed since the model was adapted to it; restore it, "
            f"or {remedy}"
        )
    return np.array(split.ids)
