"""Map characters to ids, with one id for all unknown characters."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from jaxtyping import Integer, UInt8

from charlm.errors import VocabularyError
from charlm.files.untrusted import InvalidDataError, item

NUM_CODE_POINTS = 0x110000
UNKNOWN_SIGN = "\N{REPLACEMENT CHARACTER}"
_MAX_LISTED_CHARACTERS = 6
"""Number of different unknown characters that a message names."""

Symbols = Integer[np.ndarray, "length"]
"""Code points, or byte values with `unit: byte`."""
Ids = Integer[np.ndarray, "length"]
Sizes = UInt8[np.ndarray, "symbols"]
"""Number of bytes of each symbol: of a character in UTF-8; 1 for a byte."""
UNKNOWN_TYPE = np.dtype([("place", "<i8"), ("code", "<u4")])
"""A character outside a vocabulary: its position in the text, and its code point."""


@dataclass(frozen=True)
class Vocabulary:
    """An ordered alphabet: id 0 stands for every unknown character, then the symbols ascending.

    A vocabulary of bytes holds all 256 values and has no unknown symbol.
    """

    symbols: tuple[int, ...]
    unit: Literal["character", "byte"] = "character"

    @classmethod
    def from_counts(
        cls, counts: Integer[np.ndarray, "symbols"], minimum_count: int = 1
    ) -> "Vocabulary":
        """Keep the characters that occur at least `minimum_count` times, by code point."""
        return cls(tuple(np.flatnonzero(counts >= max(1, minimum_count)).tolist()))

    @classmethod
    def of_bytes(cls) -> "Vocabulary":
        return cls(tuple(range(256)), "byte")

    @property
    def unknown_id(self) -> int | None:
        return 0 if self.unit == "character" else None

    def __len__(self) -> int:
        """Return the number of ids, the unknown one included: the size of the softmax layer."""
        return len(self.symbols) + (self.unknown_id is not None)

    @property
    def id_type(self) -> type[np.unsignedinteger[Any]]:
        """The narrowest unsigned integer that holds every id."""
        return next(t for t in (np.uint8, np.uint16, np.uint32) if len(self) - 1 <= np.iinfo(t).max)

    @cached_property
    def sizes(self) -> Sizes:
        """Number of bytes of the symbol of each id; 0 for the unknown one, whose size varies."""
        sizes = sizes_of(np.asarray(self.symbols, np.uint32), self.unit)
        return sizes if self.unknown_id is None else np.append(np.uint8(0), sizes)

    @cached_property
    def _id_of_symbol(self) -> Ids:
        """The id of every code point or byte value."""
        table = np.zeros(256 if self.unit == "byte" else NUM_CODE_POINTS, self.id_type)
        table[np.asarray(self.symbols, np.int64)] = np.arange(
            len(self) - len(self.symbols), len(self)
        )
        return table

    @cached_property
    def _id_of_byte(self) -> bytes:
        return self._id_of_symbol[:256].tobytes()

    @cached_property
    def _code_point_of_id(self) -> Symbols:
        """The code point of every id of a character vocabulary, as little-endian UTF-32."""
        return np.array([ord(UNKNOWN_SIGN), *self.symbols], "<u4")

    def encode(self, symbols: Symbols) -> Ids:
        """Map symbols to ids; those outside the vocabulary get `unknown_id`."""
        if symbols.dtype == self.id_type == np.uint8:  # the fastest way from bytes to bytes
            return np.frombuffer(symbols.tobytes().translate(self._id_of_byte), np.uint8)
        ids: Ids = np.take(self._id_of_symbol, symbols)
        return ids

    def symbols_of(self, text: str) -> Symbols:
        """Split a text into the units that this vocabulary counts."""
        if self.unit == "byte":
            return np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
        return code_points(text)

    def encode_text(self, text: str, unknown: Literal["error", "skip", "map"] = "error") -> Ids:
        """Encode a typed text.

        A character outside the vocabulary raises `VocabularyError`, is left out, or becomes the
        unknown symbol.
        """
        ids = self.encode(self.symbols_of(text))
        if self.unknown_id is None or unknown == "map":
            return ids
        known = ids != self.unknown_id
        if unknown == "error" and not known.all():
            places = np.flatnonzero(~known)
            characters = list(dict.fromkeys(text[place] for place in places))
            listed = ", ".join(map(self._describe_unknown, characters[:_MAX_LISTED_CHARACTERS]))
            num_more = len(characters) - _MAX_LISTED_CHARACTERS
            more = f" and {num_more:,} more" if num_more > 0 else ""
            raise VocabularyError(
                f"the model's vocabulary does not contain {listed}{more}, first found at character "
                f"{places[0] + 1} of the prefix; omit them, or add --unknown skip or "
                "--unknown map"
            )
        known_ids: Ids = ids[known]
        return known_ids

    def _describe_unknown(self, character: str) -> str:
        """Describe a character outside the vocabulary, and name its other case if that is known."""
        for other in (character.lower(), character.upper()):
            if len(other) == 1 and self.encode(self.symbols_of(other))[0] != self.unknown_id:
                return f"{describe_character(character)} (the model knows {other!r})"
        return describe_character(character)

    def decode(self, ids: Sequence[int] | Ids) -> str:
        """Return the text of ids; the unknown symbol shows as U+FFFD."""
        if self.unit == "byte":
            return self.decode_bytes(ids).decode("utf-8", "replace")
        points: bytes = self._code_point_of_id[np.asarray(ids, np.int64)].tobytes()
        return points.decode("utf-32-le", "surrogatepass")

    def decode_bytes(self, ids: Sequence[int] | Ids) -> bytes:
        """Return the bytes of ids: the bytes themselves with `unit: byte`, else the UTF-8 text."""
        if self.unit == "byte":
            return np.asarray(ids, np.uint8).tobytes()
        return self.decode(ids).encode("utf-8", "replace")

    def to_json(self) -> dict[str, Any]:
        return {"unit": self.unit, "symbols": list(self.symbols)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Vocabulary":
        """Restore a vocabulary from `to_json`; raises `InvalidDataError` for anything else."""
        symbols, unit = tuple(item(fields, "symbols", list)), item(fields, "unit", str)
        is_possible = set(map(type, symbols)) == {int} and all(
            low < high for low, high in pairwise((-1, *symbols, NUM_CODE_POINTS))
        )
        if unit == "byte" and is_possible and symbols == tuple(range(256)):
            return cls(symbols, "byte")
        if unit == "character" and is_possible:
            return cls(symbols)
        raise InvalidDataError("the vocabulary is invalid")


def bytes_of(text: str) -> bytes:
    """Encode as UTF-8; surrogates that stand for raw bytes (PEP 383) become those bytes."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # other lone surrogates
        return text.encode("utf-8", "surrogatepass")


def code_points(text: str) -> Symbols:
    """Return the code points of a text, lone surrogates included, in the narrowest type.

    The type is uint8 for ASCII, uint16 up to U+FFFF, and uint32 otherwise.
    """
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), np.uint8)
    narrow = text.encode("utf-16-le", "surrogatepass")
    if len(narrow) == 2 * len(text):  # a character beyond U+FFFF takes two units
        return np.frombuffer(narrow, "<u2")
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def sizes_of(symbols: Symbols, unit: str) -> Sizes:
    """Return the number of bytes of each symbol."""
    longer_from = () if unit == "byte" else (0x80, 0x800, 0x10000)
    sizes: Sizes = np.ones(len(symbols), np.uint8)
    for first in longer_from:
        sizes += symbols >= first
    return sizes


def describe_character(character: str) -> str:
    """Describe a character: itself, code point and Unicode name."""
    shown = f"{character!r} " if character.isprintable() else ""
    return f"{shown}U+{ord(character):04X} {unicodedata.name(character, 'without a name')}"
