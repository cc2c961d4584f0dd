"""Perplexity and the other measures of how well a model predicts a text.

Totals are summed over the text and divided once: perplexity = exp(nats / characters).
"""

import math
from dataclasses import dataclass
from typing import Any

from charlm.corpus.corpus import Origin
from charlm.corpus.known_characters import MOST_UNKNOWN_FRACTION
from charlm.corpus.overlaps import Overlap
from charlm.corpus.vocabulary import NUM_CODE_POINTS
from charlm.errors import DivergenceError
from charlm.kernels.loading import Precision

_NO_ORIGIN = Origin("", 0)


def perplexity(nats_per_character: float) -> float:
    """Return exp of a mean cross-entropy; infinity if that is larger than the largest float."""
    try:
        return math.exp(nats_per_character)
    except OverflowError:
        return math.inf


@dataclass(frozen=True)
class Score:
    """Totals over a text; the properties divide them."""

    nats: float
    """Sum of −ln p(character | all characters before it)."""
    characters: int
    """Number of predicted characters: all but the first of the text."""
    bytes: int
    """UTF-8 bytes of those characters (the bytes of the text with `unit: byte`)."""
    unknown_characters: int
    """Number of predicted characters outside the vocabulary, scored as the unknown symbol."""
    protocol: str = ""
    """How the text was scored, and what biases the score."""
    precision: Precision = "float32"
    """Precision of the operands of the model's products."""
    overlaps: tuple[Overlap, ...] = ()
    """How much of the text the model has seen in training."""
    origin: Origin = _NO_ORIGIN
    """The text by its content, and the position of the first character in it."""
    method: str = ""
    """How the text was scored; `protocol` adds what concerns this model alone."""

    @property
    def nats_per_character(self) -> float:
        return self.nats / self.characters

    @property
    def perplexity(self) -> float:
        """Return exp of the mean cross-entropy: 1 at best, the vocabulary size for a guess."""
        return perplexity(self.nats_per_character)

    @property
    def bits_per_character(self) -> float:
        return self.nats_per_character / math.log(2)

    @property
    def bits_per_byte(self) -> float:
        """Return the size of the text after ideal compression, in bits per byte.

        Each unknown character also costs the bits that tell it from all code points.
        """
        unknown_bits = self.unknown_characters * math.log2(NUM_CODE_POINTS)
        return (self.nats / math.log(2) + unknown_bits) / self.bytes

    @property
    def characters_scored(self) -> tuple[str, int, int]:
        """Return the digest of the text and the range of its characters; equal for the same ones.

        The model reads the first one, and predicts the others.
        """
        start = self.origin.start
        return self.origin.digest, start, start + self.characters + 1

    @property
    def unknown_note(self) -> str:
        """Return a warning for the protocol if unknown characters make perplexity misleading."""
        share = self.unknown_characters / self.characters
        if share <= MOST_UNKNOWN_FRACTION:
            return ""
        return (
            f"; {share:.0%} of the characters are outside the vocabulary, and perplexity counts "
            "them as one symbol: compare bits per byte"
        )

    def checked(self, name: str) -> "Score":
        """Return this score; raises `DivergenceError` if its nats are not finite."""
        if not math.isfinite(self.nats):
            raise DivergenceError(
                f"{name}: the loss is {self.nats}, because the model's output is not finite; use "
                "another checkpoint, or train at a lower training.learning_rate"
            )
        return self

    def to_json(self) -> dict[str, Any]:
        """Return the measures as a JSON object; numbers that are not finite become null."""
        numbers = {
            "nats_per_character": self.nats_per_character,
            "perplexity": self.perplexity,
            "bits_per_character": self.bits_per_character,
            "bits_per_byte": self.bits_per_byte,
            "characters": self.characters,
            "unknown_characters": self.unknown_characters,
        }
        return {name: x if math.isfinite(x) else None for name, x in numbers.items()}
