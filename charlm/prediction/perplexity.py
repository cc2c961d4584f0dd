"""Perplexity and the other measures of how well a model predicts a text.

Totals are summed over the text and divided once: perplexity = exp(nats / characters).
"""

import math
from dataclasses import dataclass, replace
from typing import Any

from charlm.corpus.corpus import Origin
from charlm.corpus.known_characters import MAX_UNKNOWN_FRACTION
from charlm.corpus.overlaps import Overlap
from charlm.corpus.vocabulary import NUM_CODE_POINTS
from charlm.errors import DivergenceError
from charlm.formatting import count, html_table, shorten
from charlm.kernels.loading import Precision

_NO_ORIGIN = Origin("", 0)


def perplexity(nats_per_character: float) -> float:
    """Return exp of a mean cross-entropy; infinity if that is larger than the largest float."""
    try:
        return math.exp(nats_per_character)
    except OverflowError:
        return math.inf


@dataclass(frozen=True, repr=False)
class Score:
    """Totals over a text; the properties divide them."""

    nats: float
    """Sum of −ln p(character | all characters before it)."""
    characters: int
    """Number of predicted characters: all but the first of the text."""
    bytes: int
    """UTF-8 bytes of those characters (the bytes of the text with `unit: byte`): of the text as it
    is read, so that a line end of Windows and a file in an older encoding change no score."""
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
    streams: int = 1
    """Number of streams in which the text was read."""
    method: str = ""
    """How the text was scored; `protocol` adds what concerns this model alone."""
    text: str = ""
    """Name of the text: a split of the training text, or the paths of another text."""
    records: int | None = None
    """Number of records; the characters include their ends. None for running text."""

    def __repr__(self) -> str:
        """Return the measures: `nats` is a total, and easily taken for the loss."""
        of_text = f" of {shorten(self.text)}" if self.text else ""
        return (
            f"Score(perplexity {self.perplexity:.3f}, {self.bits_per_character:.3f} bits per "
            f"character, {count(self.characters, 'character')}{of_text})"
        )

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows."""
        rows = [
            ("text", self.text),
            ("perplexity", f"{self.perplexity:.4f}"),
            ("nats per character", f"{self.nats_per_character:.4f}"),
            ("bits per character", f"{self.bits_per_character:.4f}"),
            *([("nats per record", f"{self.nats_per_record:.4f}")] if self.records else []),
            ("bits per byte", f"{self.bits_per_byte:.4f}"),
            ("characters scored", f"{self.characters:,}"),
            ("unknown characters", f"{self.unknown_characters:,}"),
            ("protocol", self.protocol),
        ]
        return html_table(rows)

    @property
    def nats_per_character(self) -> float:
        """Return the mean cross-entropy: the loss."""
        return self.nats / self.characters

    @property
    def perplexity(self) -> float:
        """Return exp of the mean cross-entropy: 1 at best, the vocabulary size for a guess."""
        return perplexity(self.nats_per_character)

    @property
    def nats_per_record(self) -> float | None:
        """Return the mean of −ln p(record) with its end; None for running text."""
        return self.nats / self.records if self.records else None

    @property
    def bits_per_character(self) -> float:
        """Return the mean cross-entropy with logarithms to base 2."""
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
        if share <= MAX_UNKNOWN_FRACTION:
            return ""
        return (
            f"; {share:.0%} of the characters are outside the vocabulary, and perplexity counts "
            "them as one symbol: compare bits per byte"
        )

    def checked(self, name: str) -> "Score":
        """Return this score of a text of this name.

        Raises `DivergenceError` if its nats are not finite.
        """
        if not math.isfinite(self.nats):
            raise DivergenceError(
                f"{name}: the loss is {self.nats}, because the model's output is not finite; use "
                "another checkpoint, or train at a lower training.learning_rate"
            )
        return replace(self, text=name)

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
        of_records = {"records": self.records, "nats_per_record": self.nats_per_record}
        numbers |= {name: x for name, x in of_records.items() if x is not None}
        return {name: x if math.isfinite(x) else None for name, x in numbers.items()}
