"""Check the ids in the cache against their vocabulary and the record of unknown characters."""

import numpy as np

from charlm.corpus.vocabulary import NUM_CODE_POINTS, Vocabulary
from charlm.files.untrusted import InvalidDataError


class IdsCheck:
    """Raises `InvalidDataError` for ids that no text can have; a digest does not exclude them."""

    def __init__(self, vocabulary: Vocabulary, unknown: np.ndarray) -> None:
        codes = unknown["code"]
        if len(codes) and (
            codes.max() >= NUM_CODE_POINTS
            or (vocabulary.encode(codes) != vocabulary.unknown_id).any()
        ):
            raise InvalidDataError("the code points of unknown characters are invalid")
        self._vocabulary = vocabulary
        self._unknown = unknown["place"]
        self._place = self._found = 0

    def __call__(self, block: bytes) -> None:
        """Check the next ids, given as bytes."""
        ids = np.frombuffer(block, self._vocabulary.id_type)
        if ids.max() >= len(self._vocabulary):
            raise InvalidDataError("ids are outside the vocabulary")
        if self._vocabulary.unknown_id is not None:
            places = self._place + np.flatnonzero(ids == self._vocabulary.unknown_id)
            recorded = self._unknown[self._found : self._found + len(places)]
            if not np.array_equal(recorded, places):
                raise InvalidDataError("the positions of unknown characters are invalid")
            self._found += len(places)
        self._place += len(ids)
