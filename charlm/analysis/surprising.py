"""The lines of a text, or its records, that surprise a model."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SurprisingLine:
    """A line of a text, with its newline."""

    line: int
    """Its number, from 1 on."""
    text: str
    bits: float
    """The sum over its characters."""
    characters: int
    """How many were predicted: all but the first of the text."""

    @property
    def mean(self) -> float:
        """Return the bits per character."""
        return self.bits / self.characters

    def to_json(self) -> dict[str, Any]:
        return {
            "line": self.line,
            "bits_per_character": round(self.mean, 4),
            "bits": round(self.bits, 4),
            "characters": self.characters,
            "text": self.text,
        }


@dataclass(frozen=True)
class SurprisingItem:
    """A record of a text."""

    item: int
    """Its number, from 1 on."""
    text: str
    nats: float
    """The sum over its characters and its end."""
    characters: int
    """How many were predicted: its characters, and its end."""

    @property
    def mean(self) -> float:
        """Return the nats per character."""
        return self.nats / self.characters

    def to_json(self) -> dict[str, Any]:
        return {
            "item": self.item,
            "nats": round(self.nats, 4),
            "nats_per_character": round(self.mean, 4),
            "characters": self.characters,
            "text": self.text,
        }
