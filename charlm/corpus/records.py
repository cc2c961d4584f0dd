"""Describe how a text of records is kept: a running text with a boundary after each record.

A split of records r₁ … rₙ is the text `B r₁ B r₂ B … rₙ B`, in which the boundary B occurs nowhere
else. Every character but the first is predicted, so the score of a split counts each record with
its end. A model forgets what it has read where it reads B, so that no record depends on another.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from charlm.config.schema import CorpusConfig
from charlm.corpus.vocabulary import Ids, Vocabulary
from charlm.errors import CorpusError

_RECORD_SEPARATOR = "\N{INFORMATION SEPARATOR TWO}"
"""U+001E, the record separator of ASCII: the boundary of records that may contain newlines."""
_PIECE_LENGTH = 1 << 20
"""Number of ids to search at a time."""


@dataclass(frozen=True)
class Records:
    """How records are kept in a text, and written out."""

    boundary: str
    """The character before the first record and after each one."""
    written_as: str
    """What stands between two records, and after the last one, when they are written out."""

    @classmethod
    def of(cls, config: CorpusConfig) -> "Records | None":
        """Return the format of the records of a corpus; None for running text."""
        if not config.has_records:
            return None
        if config.records == "lines":
            return cls("\n", "\n")
        written = {"paragraphs": "\n\n", "csv": "\n", "jsonl": "\n"}
        return cls(_RECORD_SEPARATOR, written.get(config.records, f"\n{config.records}\n"))

    def write(self, text: str) -> str:
        """Write a text of records out: each boundary as what stands between two records."""
        return text.replace(self.boundary, self.written_as)

    def write_bytes(self, text: bytes) -> bytes:
        """Write a text in UTF-8, or of a byte model, out."""
        return text.replace(self.boundary.encode(), self.written_as.encode())

    def boundary_id(self, vocabulary: Vocabulary) -> int:
        """Return the id of the boundary; raises `CorpusError` if the vocabulary does not have it.

        A vocabulary that is made from records always has it.
        """
        boundary = int(vocabulary.encode(vocabulary.symbols_of(self.boundary))[0])
        if boundary == vocabulary.unknown_id:
            raise CorpusError(
                "corpus.records: the vocabulary has no character for the end of a record, so its "
                "model cannot end one; add --set corpus.vocabulary=extend, or train a new model"
            )
        return boundary


def boundary_of(config: CorpusConfig, vocabulary: Vocabulary) -> int | None:
    """Return the id of the boundary of a corpus; None for running text."""
    records = Records.of(config)
    return None if records is None else records.boundary_id(vocabulary)


def end_size(config: CorpusConfig) -> int:
    """Return the number of bytes of the end of a record where records are written out."""
    records = Records.of(config)
    return 0 if records is None else len(records.written_as.encode())


def record_ends(ids: Ids, boundary: int) -> Int64[np.ndarray, " records"]:
    """Return the positions of the boundaries after each record of a split."""
    found = [
        start + np.flatnonzero(ids[start : start + _PIECE_LENGTH] == boundary)
        for start in range(0, len(ids), _PIECE_LENGTH)
    ]
    ends: Int64[np.ndarray, " records"] = np.concatenate([np.zeros(0, np.int64), *found])[1:]
    return ends
