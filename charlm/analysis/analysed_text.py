"""Score the characters of a file or of a split, and find their lines and columns.

All commands that look into a text start here: the text is found, and its score described, as
`charlm eval` does.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64, Integer

from charlm.config.settings import TextPaths
from charlm.corpus.corpus import Split, SplitName
from charlm.corpus.vocabulary import Vocabulary, code_points, sizes_of
from charlm.prediction.characters import by_character, score_ids
from charlm.prediction.evaluation import find_text, score_of_text
from charlm.prediction.perplexity import Score
from charlm.prediction.predictor import Predictor
from charlm.prediction.scored_text import ScoredText

_NEWLINE = ord("\n")
_ESCAPED_BYTES = (0xDC80, 0xDCFF)
"""Surrogates that stand for bytes that are not UTF-8 (PEP 383)."""


@dataclass(frozen=True, repr=False)
class AnalysedText:
    """A text as the model reads it, with one entry for each of its characters.

    A character of a byte model has the sum of the nats, and of the entropies, of its bytes, the
    largest of their ranks, and the alternatives to its first byte. The first character of the text
    is not predicted: its entries are 0 (with a byte model, those of its other bytes).
    """

    text: str
    """The text, also where the model does not know it; bytes that are not UTF-8 are surrogates."""
    starts: Int64[np.ndarray, " characters"]
    """Position of the first id of each character in `scored.split`."""
    nats: Float32[np.ndarray, " characters"]
    ranks: Int32[np.ndarray, " characters"]
    entropies: Float32[np.ndarray, " characters"]
    likeliest: Integer[np.ndarray, "characters likeliest"]
    """The likeliest ids, the likeliest one first."""
    probabilities: Float32[np.ndarray, "characters likeliest"]
    vocabulary: Vocabulary
    scored: ScoredText
    score: Score
    """The score that `charlm eval` gives, with its protocol and overlaps."""

    def __len__(self) -> int:
        return len(self.text)

    def __repr__(self) -> str:
        return f"AnalysedText({self.score!r})"

    @cached_property
    def bits(self) -> Float64[np.ndarray, " characters"]:
        """The bits of each character."""
        bits: np.ndarray = self.nats.astype(np.float64) / math.log(2)
        return bits

    @property
    def is_unknown(self) -> Bool[np.ndarray, " characters"]:
        """Return which characters are outside the vocabulary."""
        if self.vocabulary.unknown_id is None:
            return np.zeros(len(self), bool)
        unknown: np.ndarray = self.scored.split.ids[self.starts] == self.vocabulary.unknown_id
        return unknown

    @property
    def first(self) -> int:
        """Return the place of the first character: the boundary before records is in no file."""
        return 0 if self.scored.split.boundary is None else 1

    @cached_property
    def line_starts(self) -> Int64[np.ndarray, " lines"]:
        """Position of the first character of each line; a newline ends its line.

        The boundary before the first record is in no line.
        """
        newlines = np.flatnonzero(code_points(self.text[self.first :]) == _NEWLINE)
        starts = np.append(0, newlines + 1) + self.first
        return starts[starts < len(self)]

    @cached_property
    def item_bounds(self) -> Int64[np.ndarray, "items 2"]:
        """Position of the first character of each record, and after its boundary.

        Empty for running text, and for bytes after the last boundary.
        """
        if (boundary := self.scored.split.boundary) is None:
            return np.empty((0, 2), np.int64)
        ends = np.flatnonzero(self.scored.split.ids[self.starts] == boundary) + 1
        return np.stack([ends[:-1], ends[1:]], axis=1)

    @property
    def lines(self) -> Int64[np.ndarray, " characters"]:
        """Return the line of each character, from 1; of a split, counted from its beginning.

        The boundary before the first record has 0.
        """
        lines: np.ndarray = np.searchsorted(self.line_starts, np.arange(len(self)), side="right")
        return lines

    def line_and_column(self, place: int) -> tuple[int, int]:
        """Return the line and the column of a character, both from 1."""
        line = int(np.searchsorted(self.line_starts, place, side="right"))
        return line, place - int(self.line_starts[line - 1]) + 1

    def line(self, number: int) -> str:
        """Return a line, by its number from 1, without its newline."""
        start, end = [*self.line_starts[number - 1 : number + 1].tolist(), len(self)][:2]
        return self.text[start:end].removesuffix("\n")


def analyse(
    predictor: Predictor,
    text: TextPaths = (),
    split: SplitName | None = None,
    rows: int = 1,
    num_likeliest: int = 0,
) -> AnalysedText:
    """Score each character of files ("-" is standard input), or of a split of the training text.

    The arguments are those of `evaluate`, and the score is the one that it gives. Raises
    `CorpusError`, and `DivergenceError` if the model's output is not finite.
    """
    scored = find_text(predictor, text, split)
    columns = score_ids(predictor.model, scored.split.ids, rows, num_likeliest)
    score = score_of_text(predictor, scored, columns.nats, rows)
    shown, starts = characters_of(scored.split, predictor.vocabulary)
    joined = by_character(columns, starts, predictor.model.vocabulary_size)
    return AnalysedText(
        shown,
        starts,
        joined.nats,
        joined.ranks,
        joined.entropies,
        joined.likeliest,
        joined.probabilities,
        predictor.vocabulary,
        scored,
        score,
    )


def characters_of(
    split: Split, vocabulary: Vocabulary
) -> tuple[str, Int64[np.ndarray, " characters"]]:
    """Return the text of a split, with the characters that are outside the vocabulary.

    The second result is the position of the first id of each character.
    """
    if vocabulary.unit == "character":
        text = vocabulary.decode(split.ids)
        if split.num_unknown:
            points = code_points(text).astype("<u4")
            points[split.unknown["place"]] = split.unknown["code"]
            text = points.tobytes().decode("utf-32-le", "surrogatepass")
        return text, np.arange(len(split))
    text = vocabulary.decode_bytes(split.ids).decode("utf-8", "surrogateescape")
    points = code_points(text)
    sizes = sizes_of(points, "character").astype(np.int64)
    first, last = _ESCAPED_BYTES
    sizes[(points >= first) & (points <= last)] = 1
    return text, np.cumsum(sizes) - sizes
