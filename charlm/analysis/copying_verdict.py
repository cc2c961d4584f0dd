"""Say in words whether a text copies more of the training text than real text does."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from charlm.formatting import count

SPAN_LENGTHS = (20, 50, 100)
"""Numbers of characters from which spans are counted."""
_SHORT, _MIDDLE, _LONG = SPAN_LENGTHS
_FEWEST_CHARACTERS = 1000
"""Number of characters below which the shares say little."""
_MUCH, _SOME, _LITTLE = 0.2, 0.02, 0.1
"""Shares beyond those of held-out text: in longer spans for "much" and "some", in short spans."""
_FEW_TIMES, _LEAST_SHORT = 3.0, 0.02
"""Ratio to the share of held-out text in short spans, and least share beyond it, for "phrases"."""
_FEW_PERCENT = 0.0995


@dataclass(frozen=True)
class Copying:
    """How much of a text stands in the training split."""

    name: str
    characters: int
    longest: int
    """Number of characters of the longest span."""
    shares: Mapping[int, float]
    """Fraction of the characters in long spans, by the least length of these."""

    def __str__(self) -> str:
        shares = ", ".join(f"{share:.1%} from {least}" for least, share in self.shares.items())
        return f"longest span {self.longest:,}, in spans: {shares} characters"

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "characters": self.characters,
            "longest": self.longest,
            "shares": {str(least): share for least, share in self.shares.items()},
        }


def verdict_of(text: Copying, held_out: Copying | None) -> str:
    """Return a sentence on the copying of a text, beside that of held-out text.

    It names the figures that it rests on: those of the shortest spans that tell the two apart.
    """
    ordinary = held_out.shares if held_out is not None else dict.fromkeys(SPAN_LENGTHS, 0.0)
    extra = {least: text.shares[least] - ordinary[least] for least in SPAN_LENGTHS}
    longer = max((_MIDDLE, _LONG), key=lambda least: extra[least])
    is_multiple = held_out is not None and text.shares[_SHORT] >= _FEW_TIMES * ordinary[_SHORT]
    least = _SHORT
    if extra[longer] >= _SOME:
        words = f"{'much' if extra[longer] >= _MUCH else 'some'} of it is copied: "
        least = longer
    elif extra[_SHORT] >= _LITTLE or (is_multiple and extra[_SHORT] >= _LEAST_SHORT):
        words = "it repeats phrases: "
    elif held_out is None:
        words = "original: "
    else:
        words = "original: it copies hardly more than real text does; "
    words += _figures(text, held_out, least)
    if held_out is None:
        words += "; there is no held-out text that would show how much is ordinary"
    if text.characters < _FEWEST_CHARACTERS:
        words += f"; {count(text.characters, 'character')} say little"
    return words


def _figures(text: Copying, held_out: Copying | None, least: int) -> str:
    """Say how much of a text, and of held-out text, is in spans of a length, and of the longest."""
    share = text.shares[least]
    words = f"{_percent(share)} of it stands in copied spans of at least {least} characters"
    if held_out is not None:
        ordinary = held_out.shares[least]
        is_multiple = share - ordinary >= _SOME and share >= _FEW_TIMES * ordinary > 0
        multiple = f"at least {int(share / ordinary)} times the " if is_multiple else ""
        words += f", {multiple}{_percent(ordinary)} of real text"
    if text.longest < _MIDDLE:
        return f"{words}; no span has {_MIDDLE}"
    return f"{words}; the longest span has {text.longest:,}"


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= _FEW_PERCENT or not share else f"{share:.1%}"
