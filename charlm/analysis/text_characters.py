"""Look at the characters of a text before training: control characters, rare ones, mojibake."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import ftfy
import numpy as np
from ftfy.badness import is_bad
from jaxtyping import Integer

from charlm.corpus.vocabulary import describe_character

_MOST_LINES = 20_000
"""Number of different lines beyond ASCII that are examined for mojibake."""
_MANY_CHARACTERS = 1_000_000
_FEW_OCCURRENCES, _FEW_IN_MANY = 3, 10
"""Occurrences below which a character is rare, in a short text and in one of a million."""
_FEWEST_RARE, _LEAST_RARE = 20, 0.1
"""Rare characters, and their fraction of all, from which an unknown symbol is suggested."""
_ORDINARY_CONTROLS = "\t\n\r"
_NAMES = {
    0: "NUL",
    7: "BELL",
    8: "BACKSPACE",
    11: "VERTICAL TAB",
    12: "FORM FEED",
    27: "ESCAPE",
    127: "DELETE",
}


@dataclass(frozen=True)
class CharacterCount:
    """A character by its Unicode name, and how often it occurs."""

    name: str
    count: int


@dataclass(frozen=True)
class RareCharacters:
    """Characters that occur too rarely for a model to learn them."""

    below: int
    """Occurrences below which a character is rare."""
    characters: tuple[CharacterCount, ...]
    vocabulary: int
    """Number of different characters, with the rare ones."""

    @property
    def minimum_count(self) -> int | None:
        """The suggested value of `corpus.minimum_count`, or None."""
        fewest = max(_FEWEST_RARE, _LEAST_RARE * self.vocabulary)
        return self.below if len(self.characters) >= fewest else None


@dataclass(frozen=True)
class Mojibake:
    """Lines that were decoded in a wrong encoding, and what ftfy would make of them."""

    lines: int
    examples: tuple[tuple[str, str], ...]
    """Words before and after the repair."""


def control_characters(counts: Integer[np.ndarray, " codes"]) -> tuple[CharacterCount, ...]:
    """Return the characters that hardly belong in a text, the most frequent first."""
    found = [(code, count) for code, count in _present(counts) if _is_control(chr(code))]
    return tuple(CharacterCount(_named(code), count) for code, count in _by_count(found))


def _is_control(character: str) -> bool:
    if character in _ORDINARY_CONTROLS:
        return False
    return unicodedata.category(character) in ("Cc", "Cs", "Co") or character in "\ufeff\ufffd"


def _named(code: int) -> str:
    if unicodedata.category(chr(code)) != "Cc":
        return describe_character(chr(code))
    return f"U+{code:04X} {_NAMES.get(code, 'control character')}"


def rare_characters(counts: Integer[np.ndarray, " codes"]) -> RareCharacters:
    """Return the rare characters of a text, the rarest first."""
    present = _present(counts)
    below = _FEW_IN_MANY if counts.sum() >= _MANY_CHARACTERS else _FEW_OCCURRENCES
    rare = sorted((count, code) for code, count in present if count < below)
    characters = tuple(CharacterCount(_named(code), count) for count, code in rare)
    return RareCharacters(below, characters, len(present))


def _present(counts: Integer[np.ndarray, " codes"]) -> list[tuple[int, int]]:
    codes = np.flatnonzero(counts)
    return list(zip(codes.tolist(), counts[codes].tolist(), strict=True))


def _by_count(found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return sorted(found, key=lambda one: (-one[1], one[0]))


def mojibake(lines: Sequence[str], most_examples: int = 3) -> Mojibake:
    """Find lines that ftfy would repair; of a long text, in the first 20,000 lines beyond ASCII."""
    beyond = dict.fromkeys(line for line in lines if not line.isascii())
    num_wrong = 0
    examples: dict[str, str] = {}
    for line in list(beyond)[:_MOST_LINES]:
        if is_bad(line) and (mended := ftfy.fix_encoding(line)) != line:
            num_wrong += 1
            if len(examples) < most_examples:
                words = (word for word in line.split() if not word.isascii())
                changed = ((word, ftfy.fix_encoding(word)) for word in words)
                before, after = next((one for one in changed if one[0] != one[1]), (line, mended))
                examples[before] = after
    return Mojibake(num_wrong, tuple(examples.items()))
