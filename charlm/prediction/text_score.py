"""Score a typed text character by character, in bits."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple, overload

import numpy as np
from jaxtyping import Integer

from charlm.corpus.decoding import as_read
from charlm.corpus.vocabulary import Ids, Vocabulary, bytes_of
from charlm.errors import CorpusError
from charlm.formatting import count, shorten
from charlm.prediction.next_character import output_not_finite
from charlm.prediction.predictor import Predictor
from charlm.prediction.scoring import nats_of_each

_MOST_BITS = 8.0
"""Bits from which a character has the darkest background in a notebook."""
_MOST_COLOURED_CHARACTERS = 5_000
"""Number of characters that a notebook shows; the page has about 70 bytes for each."""


class ScoredCharacter(NamedTuple):
    """A character, and how unexpected it was."""

    character: str
    bits: float
    """−log₂ p(character | all characters before it); 0 for the first, which is not predicted."""


@dataclass(frozen=True, repr=False)
class TextScore(Sequence[ScoredCharacter]):
    """The bits of each character of a text; their sum is the size of the text after compression."""

    text: str
    """The text as the model reads it: with the newlines and the normal form of its training."""
    bits: tuple[float, ...]
    """The bits of each character of `text`."""

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
        """Return the mean over the characters that are predicted: all but the first."""
        return sum(self.bits) / (len(self.text) - 1)

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
    are scored as the unknown symbol. A byte model gives a character the bits of all its bytes.
    Raises `CorpusError` for fewer than two characters, and `DivergenceError` if the model's output
    is not finite.
    """
    read = as_read(text, predictor.config.corpus)
    if len(read) < 2:
        raise CorpusError(
            f"a text of {count(len(read), 'character')} has none to predict; give more text"
        )
    ids, starts = _ids_of(read, predictor.vocabulary)
    nats = nats_of_each(predictor.model, ids)
    if not np.isfinite(nats).all():
        raise output_not_finite()
    bits = np.append(0.0, nats) / math.log(2)
    return TextScore(read, tuple(np.add.reduceat(bits, starts).tolist()))


def _ids_of(text: str, vocabulary: Vocabulary) -> tuple[Ids, Integer[np.ndarray, " characters"]]:
    """Return the ids of a text, and the place of the first id of each character."""
    if vocabulary.unit == "byte":
        pieces = [bytes_of(character) for character in text]
        ends = np.cumsum([len(piece) for piece in pieces])
        return np.frombuffer(b"".join(pieces), np.uint8), np.append(0, ends[:-1])
    return vocabulary.encode(vocabulary.symbols_of(text)), np.arange(len(text))
