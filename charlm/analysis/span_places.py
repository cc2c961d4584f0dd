"""Say where the longest copied spans of a text stand, in it and in the training text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from charlm.analysis.copying import Span
from charlm.config.schema import CorpusConfig
from charlm.corpus.corpus import Corpus, Split
from charlm.corpus.file_starts import FileStart, file_starts
from charlm.corpus.vocabulary import Ids, Vocabulary

MOST_SPANS = 10
"""Number of copied spans that are listed, at most."""


@dataclass(frozen=True)
class CopiedSpan:
    """A span of a text that stands verbatim in the training split."""

    text: str
    length: int
    character: int
    """Its first character in the text, from 1 on."""
    training_line: int | None
    """Line where it begins, from 1 on, of `training_file`, or else of the whole training text.

    None for a text without lines, and for records, of which a split takes some here and there.
    """
    training_file: str | None = None
    """Path of the file where it begins. None for a text of one file, and for files that have gone
    or changed."""

    def to_json(self) -> dict[str, Any]:
        """Return its entries in the output of `--json`."""
        return {
            "text": self.text,
            "length": self.length,
            "character": self.character,
            "training_line": self.training_line,
            "training_file": self.training_file,
        }


def starts_of(corpus: Corpus, config: CorpusConfig) -> list[FileStart]:
    """Return the starts of the files of running text; [] for records, whose order is random."""
    if corpus.boundary is not None:
        return []
    return file_starts(config, sum(len(split) for split in _splits_of_training_text(corpus)))


def _splits_of_training_text(corpus: Corpus) -> list[Split]:
    """Return the splits that were taken from the same text as the training split."""
    training = corpus.splits["train"]
    digest, start = training.origin.digest, training.origin.start
    others = [corpus.splits["validation"], corpus.splits["test"]]
    return [
        training,
        *(one for one in others if one.origin.digest == digest and one.origin.start != start),
    ]


def copied_spans(
    corpus: Corpus, ids: Ids, spans: list[Span], starts: Sequence[FileStart]
) -> tuple[CopiedSpan, ...]:
    """Return the longest spans, each text once, with their places in the training text."""
    vocabulary, training = corpus.vocabulary, corpus.splits["train"]
    newline = int(ids_of(b"\n", vocabulary)[0])
    has_lines = newline != vocabulary.unknown_id and bool((training.ids == newline).any())
    has_lines = has_lines and training.boundary is None

    splits = _splits_of_training_text(corpus)

    def line_at(place: int) -> int:
        """Return the line of a place of the training text, from 1 on."""
        parts = [one.ids[: max(0, place - one.origin.start)] for one in splits]
        return 1 + sum(int(np.count_nonzero(part == newline)) for part in parts)

    found: dict[str, CopiedSpan] = {}
    for span in spans:
        text = vocabulary.decode(ids[span.start : span.end])
        if text not in found and len(found) < MOST_SPANS:
            place = training.origin.start + span.place
            file = next((one for one in reversed(starts) if one.start <= place), None)
            before = line_at(file.start) - 1 if file else 0
            line = line_at(place) - before if has_lines else None
            where = None if file is None else str(file.path)
            found[text] = CopiedSpan(text, span.length, span.start + 1, line, where)
    return tuple(found.values())


def ids_of(data: bytes, vocabulary: Vocabulary) -> Ids:
    """Return the ids of bytes, or of the characters that they encode in UTF-8."""
    if vocabulary.unit == "byte":
        return np.frombuffer(data, np.uint8)
    return vocabulary.encode(vocabulary.symbols_of(data.decode()))
