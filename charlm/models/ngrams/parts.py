"""What predicts beside the n-grams of characters, and the shape of the mixture weights."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from charlm.config.schema import EnsembleConfig
from charlm.corpus.letters import letters_of
from charlm.corpus.vocabulary import Vocabulary
from charlm.models.ngrams.lines import LINE_WINDOW, NUM_LINE_CONTEXTS, NUM_LINE_STATES
from charlm.models.ngrams.matches import MATCH_WINDOW, NUM_MATCH_ROWS
from charlm.models.ngrams.words import NUM_WORD_CONTEXTS, WORD_WINDOW, Letters


@dataclass(frozen=True, eq=False)
class Parts:
    """Which parts predict beside the n-grams of characters: by default, none.

    Contexts of words and of the line above need the `letters` of the vocabulary.
    """

    letters: Letters | None = None
    has_words: bool = False
    """Contexts of words (see `words`)."""
    has_lines: bool = False
    """Contexts of the line above (see `lines`)."""
    has_matches: bool = False
    """What followed the latest repetition (see `matches`)."""

    def __post_init__(self) -> None:
        if (self.has_words or self.has_lines) and self.letters is None:
            raise ValueError("letters: contexts of words and of the line above need them")

    @property
    def num_contexts(self) -> int:
        """Number of contexts of words and of the line above at each place."""
        return NUM_WORD_CONTEXTS * self.has_words + NUM_LINE_CONTEXTS * self.has_lines

    @property
    def num_features(self) -> int:
        """Number of features that the parts add; each has a weight in every row."""
        return self.num_contexts + self.has_matches

    @property
    def num_rows(self) -> int:
        """Number of rows of mixture weights that the parts add."""
        words = (NUM_WORD_CONTEXTS + 1) * self.has_words
        return words + NUM_LINE_STATES * self.has_lines + NUM_MATCH_ROWS * self.has_matches

    @property
    def window(self) -> int:
        """Number of characters before a place that these parts look at."""
        return max(
            WORD_WINDOW * self.has_words,
            LINE_WINDOW * self.has_lines,
            MATCH_WINDOW * self.has_matches,
        )


NO_PARTS = Parts()


def parts_for(ensemble: EnsembleConfig, vocabulary: Vocabulary) -> Parts:
    """Return the parts of an ensemble over a vocabulary; without n-grams, there are none."""
    if not ensemble.ngram_order:
        return NO_PARTS
    needs_letters = ensemble.word_contexts or ensemble.line_contexts
    return Parts(
        letters_of(vocabulary) if needs_letters else None,
        has_words=ensemble.word_contexts,
        has_lines=ensemble.line_contexts,
        has_matches=ensemble.match_model,
    )


def weights_shape(order: int, num_members: int, parts: Parts = NO_PARTS) -> tuple[int, int]:
    """Return the shape of mixture weights, with the sets of rows that `NGrams.mix` adds."""
    return order + 1 + parts.num_rows, num_members + order + 1 + parts.num_features


def first_weights(
    order: int, num_members: int, parts: Parts = NO_PARTS
) -> Float64[np.ndarray, "rows features"]:
    """Return initial mixture weights: 3/4 for the mean of the members, and 1/4 for the n-grams.

    With order 0 the n-grams get no weight, because networks know single characters' frequencies.
    The other parts get none before the weights are fitted.
    """
    counts = 1.0 if not num_members else 0.25 if order else 0.0
    weights = np.zeros(weights_shape(order, num_members, parts))
    weights[: order + 1, :num_members] = (1 - counts) / max(1, num_members)
    weights[: order + 1, num_members : num_members + order + 1] = counts
    return weights
