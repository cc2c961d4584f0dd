"""The items that are not new: those of the training text, and of other files."""

import numpy as np

from charlm.config.settings import TextPaths
from charlm.corpus.builder import encode_files
from charlm.corpus.vocabulary import Ids
from charlm.errors import CorpusError
from charlm.prediction.items.digests import DigestSet, digests_between
from charlm.prediction.items.start import boundary_of
from charlm.prediction.predictor import Predictor
from charlm.runs.training_text import listed, searched_corpus

_PIECE_ITEMS = 1 << 16


def known_items(
    predictor: Predictor, training_text: TextPaths, not_in: TextPaths, *, with_training_text: bool
) -> DigestSet | None:
    """Return the items of the whole training text, and those of files; None if there are neither.

    Raises `CorpusError` if a text is missing or has changed.
    """
    files = listed(not_in)
    if not with_training_text and not files:
        return None
    known, boundary = DigestSet(), boundary_of(predictor)
    if with_training_text:
        if predictor.checkpoint is None:
            raise CorpusError("a model in training has no training text to search; save it first")
        corpus = searched_corpus(predictor.checkpoint, training_text)
        for split in corpus.splits.values():
            add_text(known, split.ids, boundary)
    for file in files:
        split = encode_files([file], predictor.config.corpus, predictor.vocabulary)
        add_text(known, split.ids, boundary)
    return known


def add_text(known: DigestSet, ids: Ids, boundary: int) -> None:
    """Add all items of a text, which are between boundaries."""
    bounds = np.concatenate([[-1], np.flatnonzero(ids == boundary), [len(ids)]])
    for start in range(0, len(bounds) - 1, _PIECE_ITEMS):
        known.add(digests_between(ids, bounds[start : start + _PIECE_ITEMS + 1].tolist()))
