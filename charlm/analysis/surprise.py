"""Show where a text surprises a model: its characters, oddest lines and items, likely typos."""

import math
from dataclasses import dataclass
from functools import cached_property
from html import escape
from itertools import islice
from typing import Any, Literal

import numpy as np

from charlm.analysis.analysed_text import AnalysedText, analyse
from charlm.analysis.surprising import SurprisingItem, SurprisingLine
from charlm.analysis.typos import SurprisingWord, alternatives_at, surprising_words
from charlm.config.settings import TextPaths
from charlm.corpus.corpus import SplitName
from charlm.formatting import count
from charlm.prediction.characters import shown_symbols
from charlm.prediction.predictor import Predictor

NUM_LIKELIEST = 5
LEVELS = (2.0, 4.0, 8.0)
"""Bits from which a character is somewhat, rather and very surprising."""
_COLOURS = ("", "rgba(240,200,0,.3)", "rgba(240,130,0,.5)", "rgba(220,40,0,.7)")
"""Backgrounds of a notebook: legible on light and on dark."""
_MOST_SHOWN_CHARACTERS = 5_000
"""Number of characters that a notebook shows."""

Order = Literal["mean", "sum"]


@dataclass(frozen=True, repr=False)
class Surprise:
    """A text with the bits of each character, the likeliest characters there, and a summary."""

    analysed: AnalysedText
    """The text, with `NUM_LIKELIEST` alternatives for each character."""

    @property
    def name(self) -> str:
        """Return the name of the text."""
        return self.analysed.scored.title

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """The text of each id: U+FFFD if it is unknown, <0xE9> for a byte beyond ASCII."""
        return shown_symbols(self.analysed.vocabulary)

    @cached_property
    def levels(self) -> np.ndarray:
        """The level of each character: 0 below 2 bits, 1 below 4, 2 below 8, or 3."""
        return np.searchsorted(np.array(LEVELS), self.analysed.bits, side="right")

    def alternatives(self, place: int) -> list[tuple[str, float]]:
        """Return the likeliest characters at a place, with their probabilities."""
        return alternatives_at(self.analysed, self.symbols, place)

    def lines(self, number: int, order: Order = "mean") -> list[SurprisingLine]:
        """Return the most surprising lines that are not blank, by the mean or sum of their bits."""
        text = self.analysed
        sums, sizes = np.add.reduceat(text.bits, text.line_starts), _sizes(text)
        keys = sums / np.maximum(sizes, 1) if order == "mean" else sums
        ranked = np.argsort(-keys, kind="stable").tolist()
        filled = (one for one in ranked if sizes[one] and text.line(one + 1).strip())
        return [
            SurprisingLine(one + 1, text.line(one + 1), float(sums[one]), int(sizes[one]))
            for one in islice(filled, max(0, number))
        ]

    @property
    def _num_characters(self) -> int:
        return len(self.analysed) - self.analysed.first

    @property
    def has_items(self) -> bool:
        """Return whether the text is of records."""
        return self.analysed.scored.split.boundary is not None

    def items(self, number: int, order: Order = "mean") -> list[SurprisingItem]:
        """Return the most surprising records, by the mean or the sum of their nats."""
        text, bounds = self.analysed, self.analysed.item_bounds
        total = np.append(0.0, np.cumsum(text.nats, dtype=np.float64))
        sums, sizes = np.diff(total[bounds], axis=1)[:, 0], np.diff(bounds, axis=1)[:, 0]
        keys = sums / sizes if order == "mean" else sums
        chosen = np.argsort(-keys, kind="stable")[: max(0, number)].tolist()
        spans = bounds.tolist()
        return [
            SurprisingItem(
                one + 1,
                text.text[spans[one][0] : spans[one][1] - 1],
                float(sums[one]),
                int(sizes[one]),
            )
            for one in chosen
        ]

    def words(self, number: int) -> list[SurprisingWord]:
        """Return the likeliest typos, as `surprising_words` does."""
        return surprising_words(self.analysed, self.symbols, number)

    def __repr__(self) -> str:
        score = self.analysed.score
        return (
            f"Surprise({score.bits_per_character:.3f} bits per {self.analysed.vocabulary.unit}, "
            f"{count(self._num_characters, 'character')}: {self.name})"
        )

    def _repr_html_(self) -> str:
        """Return the text, coloured by bits; the title of a character has its alternatives."""
        text, first = self.analysed, self.analysed.first
        end, shown = first + _MOST_SHOWN_CHARACTERS, []
        for place, character in enumerate(text.text[first:end], first):
            level = int(self.levels[place])
            style = f' style="background:{_COLOURS[level]}"' if level else ""
            likely = ", ".join(f"{one!r} {share:.0%}" for one, share in self.alternatives(place))
            title = f"{text.bits[place]:.2f} bits, rank {text.ranks[place]}; likeliest: {likely}"
            spoken = f' title="{escape(title)}"' if place else ""
            shown.append(f"<span{spoken}{style}>{escape(character)}</span>")
        num_more = len(text) - end
        more = f"… {count(num_more, 'more character')}" if num_more > 0 else ""
        page = (
            f"<p>{text.score.bits_per_character:.3f} bits per {text.vocabulary.unit}</p>"
            f'<div style="white-space:pre-wrap;unicode-bidi:isolate">{"".join(shown)}{more}</div>'
        )
        return page.encode("utf-8", "replace").decode()

    def to_json(self) -> dict[str, Any]:
        """Return the text with the columns of its characters, rounded to four digits.

        The first character of running text is not predicted: its entries are None, and it has no
        alternatives. `unknown` are the places of the characters outside the vocabulary.
        """
        text, first = self.analysed, self.analysed.first
        entropies = text.entropies.astype(np.float64) / math.log(2)
        probabilities = np.round(text.probabilities.astype(np.float64), 4)
        return {
            **self.summary(),
            "text": text.text[first:],
            "unknown": np.flatnonzero(text.is_unknown[first:]).tolist(),
            "bits": [None, *np.round(text.bits, 4).tolist()[1:]][first:],
            "ranks": [None, *text.ranks.tolist()[1:]][first:],
            "entropies": [None, *np.round(entropies, 4).tolist()[1:]][first:],
            "symbols": list(self.symbols),
            "likeliest": [[], *text.likeliest.tolist()[1:]][first:],
            "probabilities": [[], *probabilities.tolist()[1:]][first:],
        }

    def summary(self) -> dict[str, Any]:
        """Return the name of the text, and its score."""
        score = self.analysed.score
        return {
            "name": self.name,
            "bits_per_character": score.bits_per_character,
            "characters": self._num_characters,
            "unknown_characters": score.unknown_characters,
            "protocol": score.protocol,
        }


def surprise(
    predictor: Predictor, text: TextPaths = (), split: SplitName | None = None
) -> Surprise:
    """Find where a text surprises a model.

    `text` and `split` are those of `evaluate`. Raises `CorpusError`, and `DivergenceError` if the
    model's output is not finite.
    """
    return Surprise(analyse(predictor, text, split, num_likeliest=NUM_LIKELIEST))


def _sizes(text: AnalysedText) -> np.ndarray:
    """Return how many characters of each line were predicted."""
    sizes = np.diff(np.append(text.line_starts, len(text)))
    if text.scored.split.boundary is None:
        sizes[0] -= 1  # the first character; before a record stands a boundary
    return sizes
