"""The score of a run in a list: its value, and what a reader must know to compare it."""

import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from charlm.config.schema import Config
from charlm.files.untrusted import InvalidDataError, item
from charlm.runs.starts import RESULT

FEWEST_CHARACTERS = 1000
"""Number of scored characters below which chance decides the first digits of a perplexity."""


@dataclass(frozen=True)
class ListedScore:
    """A score, its split, and how it was computed."""

    split: str
    """The split that was scored at the end of training, or `validation` for the best one so far."""
    bits_per_character: float
    characters: int | None = None
    """Number of characters that were scored; None if the run does not say."""
    is_approximate: bool = False
    """Whether the text was read in several streams."""
    is_partial: bool = False
    """Whether only characters spread over the split were scored."""

    @property
    def is_too_small(self) -> bool:
        """Whether too few characters were scored to measure anything."""
        return self.characters is not None and self.characters < FEWEST_CHARACTERS


def final_score(start: dict[str, Any]) -> ListedScore | None:
    """Return the score at the end of training from an entry of `environment.json`, if it has one.

    The protocol of the score says whether it is approximate, or of some characters only.
    """
    try:
        score = item(item(start, RESULT, dict), "score", dict)
        split, bits = item(score, "split", str), item(score, "bits_per_character", float)
    except InvalidDataError:
        return None
    protocol, characters = score.get("protocol"), score.get("characters")
    method, *notes = protocol.split("; ") if type(protocol) is str else ("",)
    return ListedScore(
        split,
        bits,
        characters if type(characters) is int else None,
        is_approximate=method.startswith("approximate"),
        is_partial=any(note.startswith("scored on ") for note in notes),
    )


def best_validation(checkpoints: Iterable[dict[str, Any]], config: Config) -> ListedScore | None:
    """Return the best validation in the metadata of checkpoints, of a network or of any member."""
    found = [one for metadata in checkpoints if (one := _validation(metadata, config)) is not None]
    return min(found, key=lambda score: score.bits_per_character, default=None)


def _validation(metadata: dict[str, Any], config: Config) -> ListedScore | None:
    try:
        counters = item(item(metadata, "counters", dict), "run", dict)
        bits = item(counters, "best_loss", float) / math.log(2)
    except InvalidDataError:
        return None
    most = counters.get("validation_characters") or config.training.validation_characters
    size, characters = _size_of_validation(metadata), None
    if size is not None:
        characters = min(size - 1, most) if type(most) is int else size - 1
    # A shorter text is read in one stream, however many the config allows.
    is_long = characters is None or characters >= FEWEST_CHARACTERS
    return ListedScore(
        "validation",
        bits,
        characters,
        is_approximate=config.training.validation_rows > 1 and is_long,
        is_partial=characters is not None and size is not None and characters < size - 1,
    )


def _size_of_validation(metadata: dict[str, Any]) -> int | None:
    """Return the length of the run's own validation split, from the record of its text."""
    with suppress(InvalidDataError):
        for record in item(metadata, "provenance", list):
            is_own = type(record) is dict and not record.get("through")
            if is_own and record.get("use") in ("chosen on", "fitted on"):
                return item(record, "end", int) - item(record, "start", int)
    return None
