"""The interface of n-gram counts, and the first weights of their mixture with networks."""

import math
from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Float32, Float64, Int64, Integer

from charlm.models.ngrams.matches import MATCH_WINDOW, NUM_MATCH_ROWS
from charlm.models.ngrams.words import NUM_WORD_CONTEXTS, WORD_WINDOW, Letters

LogProbabilities = Float32[np.ndarray, "time vocabulary"]


class NGrams(ABC):
    """Counts of characters after contexts of up to `order` characters, of words, and matches.

    The first `window` elements of all `ids` are context; −1 stands for a place before the text. No
    context crosses the `boundary`, the id that begins a record: it may only begin with it. Contexts
    of words (see `words`) are counted if there are `letters`, and with `has_matches` the latest
    repetition of the context predicts, too (see `matches`).
    """

    def __init__(
        self,
        order: int,
        vocabulary_size: int,
        boundary: int | None = None,
        letters: Letters | None = None,
        has_matches: bool = False,
    ) -> None:
        self.order, self.vocabulary_size, self.boundary = order, vocabulary_size, boundary
        self.letters, self.has_matches = letters, has_matches
        self.window = max(
            order, 0 if letters is None else WORD_WINDOW, MATCH_WINDOW if has_matches else 0
        )
        if letters is not None and letters.shape != (vocabulary_size,):
            raise ValueError(f"letters: one for each of {vocabulary_size} symbols was expected")

    @property
    def num_word_contexts(self) -> int:
        """Number of contexts of words at each place."""
        return 0 if self.letters is None else NUM_WORD_CONTEXTS

    def weights_shape(self, num_members: int) -> tuple[int, int]:
        """Return the shape of the mixture weights with this number of networks."""
        return weights_shape(self.order, num_members, self.num_word_contexts, self.has_matches)

    @abstractmethod
    def count(self, ids: Integer[np.ndarray, " ids"]) -> None:
        """Count every id but the first `window`, which are context.

        The counts are those of all ids one after another, in pieces or at once.
        """

    @abstractmethod
    def mix(
        self,
        ids: Int64[np.ndarray, " ids"],
        members: Float32[np.ndarray, "time members vocabulary"],
        weights: Float64[np.ndarray, "rows features"],
        rate: float = 0.0,
        counts: bool = False,
    ) -> LogProbabilities:
        """Return log-probabilities for every id but the first `window`.

        The mixture is the softmax of a weighted sum of features: the members' log-probabilities,
        that of the empty context, how much each longer context changes it, how much each context
        of words changes the prediction of the longest one, and 1 for the symbol after the match.
        The weights of a place are the sum of one row of each set of rows in `weights`: for each
        length that the longest known context may have; with contexts of words, for each number of
        them that may be known; with matches, for each class of the match's length. With a learning
        `rate`, these rows take a gradient step, in place, after each prediction; with `counts`,
        each id is counted after its prediction.
        """


def weights_shape(
    order: int, num_members: int, num_word_contexts: int = 0, has_matches: bool = False
) -> tuple[int, int]:
    """Return the shape of mixture weights, with the sets of rows that `NGrams.mix` adds."""
    rows = order + 1 + (num_word_contexts + 1 if num_word_contexts else 0)
    rows += NUM_MATCH_ROWS if has_matches else 0
    return rows, num_members + order + 1 + num_word_contexts + has_matches


def first_weights(
    order: int, num_members: int, num_word_contexts: int = 0, has_matches: bool = False
) -> Float64[np.ndarray, "rows features"]:
    """Return initial mixture weights: 3/4 for the mean of the members, and 1/4 for the n-grams.

    With order 0 the n-grams get no weight, because networks know single characters' frequencies.
    Contexts of words and matches get none before the weights are fitted.
    """
    counts = 1.0 if not num_members else 0.25 if order else 0.0
    weights = np.zeros(weights_shape(order, num_members, num_word_contexts, has_matches))
    weights[: order + 1, :num_members] = (1 - counts) / max(1, num_members)
    weights[: order + 1, num_members : num_members + order + 1] = counts
    return weights


def nats(log_probabilities: LogProbabilities, ids: Int64[np.ndarray, " time"]) -> float:
    """Return the sum of −ln p of the ids."""
    return -math.fsum(log_probabilities[np.arange(len(ids)), ids].tolist())
