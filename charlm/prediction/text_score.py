"""Score a typed text character by character, in bits."""

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple, overload

import numpy as np
from jaxtyping import Int64

from charlm.corpus.decoding import as_read
from charlm.corpus.vocabulary import Ids, Vocabulary, bytes_of
from charlm.errors import CorpusError
from charlm.formatting import count, shorten
from charlm.prediction.next_character import output_not_finite
from charlm.prediction.predictor import Predictor
from charlm.prediction.reading import Streams, each_piece

_MOST_BITS = 8.0
"""Bits from which a character has the darkest background in a notebook."""
_MOST_COLOURED_CHARACTERS = 5_000
"""Number of characters that a notebook shows; the page has about 70 bytes for each."""


class ScoredCharacter(NamedTuple):
    """A character, and how unexpected it was."""

    character: str
    bits: float
    """−log₂ p(character | all characters before it); 0 for the first of running text, which is not
    predicted."""


@dataclass(frozen=True, repr=False)
class TextScore(Sequence[ScoredCharacter]):
    """The bits of each character of a text; their sum is the size of the text after compression."""

    text: str
    """The text as the model reads it: with the newlines and the normal form of its training."""
    bits: tuple[float, ...]
    """The bits of each character of `text`."""
    is_first_predicted: bool = False
    """Whether the first character is predicted, too: that of a record is."""

    def __len__(self) -> int:
        return len(self.text)

    @overload
    def __getitem__(self, place: int) -> ScoredCharacter: ...
    @overload
    def __getitem__(self, place: slice) -> list[ScoredCharacter]: ...
    def __getitem__(self, place: int | slice) -> ScoredCharacter | list[ScoredCharacter]:
        if isinstance(place, slice):
            return list(map(ScoredCharacter, self.text[place], self.bits[place]))
        return ScoredCharacter(self.text[place], self.bits[place])

    def __iter__(self) -> Iterator[ScoredCharacter]:
        return map(ScoredCharacter, self.text, self.bits)

    @property
    def bits_per_character(self) -> float:
        """Return the mean over the characters that are predicted."""
        return sum(self.bits) / (len(self.text) - (not self.is_first_predicted))

    def __repr__(self) -> str:
        return (
            f"TextScore({self.bits_per_character:.3f} bits per character, "
            f"{count(len(self), 'character')}: {shorten(self.text)!r})"
        )

    def _repr_html_(self) -> str:
        """Return the text, in which the background of unexpected characters is dark."""
        shown = "".join(
            f'<span title="{one.bits:.2f} bits" style="background:rgba(220,80,0,'
            f'{min(1.0, one.bits / _MOST_BITS):.2f})">{escape(one.character)}</span>'
            for one in self[:_MOST_COLOURED_CHARACTERS]
        )
        num_more = len(self) - _MOST_COLOURED_CHARACTERS
        more = f"… {count(num_more, 'more character')}" if num_more > 0 else ""
        page = f'<div style="white-space:pre-wrap">{shown}{more}</div>'
        return page.encode("utf-8", "replace").decode()


def score_text(predictor: Predictor, text: str) -> TextScore:
    """Return the bits of each character of `text`, given those before it.

    The sum is that of `evaluate` for a file with this text, whose characters outside the vocabulary
    are scored as the unknown symbol. A byte model gives a character the bits of all its bytes. To a
    model of records, the text is a record, or several with their boundaries.
    Raises `CorpusError` for fewer than two characters, and `DivergenceError` if the model's output
    is not finite.
    """
    steps = score_in_steps(predictor, text)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            score: TextScore = end.value
            return score


def score_in_steps(predictor: Predictor, text: str) -> Generator[None, None, TextScore]:
    """Score a text as `score_text` does, and yield after each piece of at most 4,096 characters.

    So one thread can do other work in between.
    """
    read, ids, starts = ids_to_score(predictor, text)
    has_boundary = predictor.model.boundary is not None
    nats = np.empty(len(ids) - 1, np.float32)
    for piece in each_piece(predictor.model, ids, Streams.for_model(predictor.model, ids, rows=1)):
        nats[piece.places - 1] = piece.nats().cpu().numpy()
        yield
    if not np.isfinite(nats).all():
        raise output_not_finite()
    sums = tuple(np.add.reduceat(np.append(0.0, nats) / math.log(2), starts).tolist())
    return TextScore(read, sums, is_first_predicted=has_boundary)


def ids_to_score(
    predictor: Predictor, text: str
) -> tuple[str, Ids, Int64[np.ndarray, " characters"]]:
    """Return a text as a model reads it, its ids, and the position of each character's first id.

    A record has a boundary before its first character. Raises `CorpusError` for fewer than two
    characters.
    """
    read = as_read(text, predictor.config.corpus)
    if len(read) < 2:
        raise CorpusError(
            f"a text of {count(len(read), 'character')} has none to predict; give more text"
        )
    ids, starts = _ids_of(read, predictor.vocabulary)
    if (boundary := predictor.model.boundary) is not None:
        ids, starts = np.append(boundary, ids), starts + 1
    return read, ids, starts


def _ids_of(text: str, vocabulary: Vocabulary) -> tuple[Ids, Int64[np.ndarray, " characters"]]:
    """Return the ids of a text, and the position of the first id of each character."""
    if vocabulary.unit == "byte":
        pieces = [bytes_of(character) for character in text]
        ends = np.cumsum([len(piece) for piece in pieces])
        return np.frombuffer(b"".join(pieces), np.uint8), np.append(0, ends[:-1])
    return vocabulary.encode(vocabulary.symbols_of(text)), np.arange(len(text))
