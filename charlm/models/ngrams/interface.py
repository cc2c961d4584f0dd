"""The interface of n-gram counts."""

import math
from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Float32, Float64, Int64, Integer

from charlm.models.ngrams.parts import NO_PARTS, Parts, weights_shape

LogProbabilities = Float32[np.ndarray, "time vocabulary"]


class NGrams(ABC):
    """Counts of characters after contexts of up to `order` characters, and of other `parts`.

    The first `window` elements of all `ids` are context; −1 stands for a place before the text. No
    context crosses the `boundary`, the id that begins a record: it may only begin with it.
    """

    def __init__(
        self,
        order: int,
        vocabulary_size: int,
        boundary: int | None = None,
        parts: Parts = NO_PARTS,
    ) -> None:
        letters = parts.letters
        if letters is not None and letters.shape != (vocabulary_size,):
            raise ValueError(f"letters: one for each of {vocabulary_size} symbols was expected")
        self.order, self.vocabulary_size, self.boundary = order, vocabulary_size, boundary
        self.parts, self.window = parts, max(order, parts.window)

    def weights_shape(self, num_members: int) -> tuple[int, int]:
        """Return the shape of the mixture weights with this number of networks."""
        return weights_shape(self.order, num_members, self.parts)

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
        of words and of the line above changes the prediction of the longest one, and 1 for the
        symbol after the match. The weights of a place are the sum of one row of each set of rows in
        `weights`: for each length that the longest known context may have; with contexts of words,
        for each number of them that may be known; with contexts of the line above, for each state;
        with matches, for each class of the match's length. With a learning `rate`, these rows take
        a gradient step, in place, after each prediction. The step is shortened if it would raise
        the weighted sum of the id that came, relative to the expected sum, by more than five nats.
        With `counts`, each id is counted after its prediction.
        """


def nats(log_probabilities: LogProbabilities, ids: Int64[np.ndarray, " time"]) -> float:
    """Return the sum of −ln p of the ids."""
    return -math.fsum(log_probabilities[np.arange(len(ids)), ids].tolist())
