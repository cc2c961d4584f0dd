"""Nearest neighbours: what followed the most similar moments of the text so far.

Khandelwal, Levy, Jurafsky, Zettlemoyer and Lewis, "Generalization through memorization: nearest
neighbor language models", 2020. The moments of the text that is being scored count, too (Grave,
Joulin and Usunier, "Improving neural language models with a continuous cache", 2017).
"""

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from charlm.corpus.vocabulary import Ids
from charlm.models.language_model import LanguageModel
from charlm.prediction.moments import MOST_REMEMBERED, Moments

_WIDTHS = (0.25, 2.0)
"""Neighbours at a squared distance d weigh exp(−d / width), as fractions of the usual distance."""
_FIRST_SHARE = 0.05
"""Share of the neighbours of each width in the mixture at first."""
_SHARE_RATE = 0.002
"""How fast the shares follow what came: over some 500 characters."""
_LEAST_SHARE = 0.001
"""None falls to 0, from which it could not rise again."""
_COLUMN_CHARACTERS, _MOST_COLUMNS = 1000, 128
"""The training text is read in columns of at least this length, and in at most this number.

Each column but the first begins within the text, with the zero state.
"""
_BLOCK_CHARACTERS = 32_768
"""Number of characters of a scored text that are read at once."""
_NUM_SAMPLES = 1000
"""Moments of the training text whose nearest neighbours give the usual distance."""


class NearestNeighbors:
    """Mixes predictions with what followed similar moments of the training text and of this one."""

    def __init__(self, network: LanguageModel, training_ids: Ids) -> None:
        """Remember the moments of the training text; the network may learn afterwards."""
        self._vocabulary_size = network.vocabulary_size
        self._moments = Moments(network)
        num_columns = max(1, min(_MOST_COLUMNS, len(training_ids) // _COLUMN_CHARACTERS))
        num_moments = max(0, min(MOST_REMEMBERED, len(training_ids) - 1))
        num_moments -= num_moments % num_columns
        if num_moments:
            self._moments.begin(num_columns)
            self._moments.add(training_ids[-num_moments - 1 :])
        self._num_trained = num_moments
        self.width = self._usual_distance()
        self.forget()

    def forget(self) -> None:
        """Forget the texts after the training text, and what came in them."""
        self._moments.num_known = self._num_trained
        self.shares = np.array([1 - _FIRST_SHARE * len(_WIDTHS), *[_FIRST_SHARE] * len(_WIDTHS)])
        self.begin(np.zeros(0, np.int64))

    def begin(self, ids: Ids) -> None:
        """Begin to score a text from its first character."""
        self._ids = ids
        self._block, self._places = range(0), torch.empty(0, dtype=torch.int64)
        self._moments.begin()

    def mix(
        self, predictions: Float[Tensor, "time vocabulary"], begin: int
    ) -> Float[Tensor, "time vocabulary"]:
        """Mix log-probabilities of the ids after the one at `begin` with those of neighbours.

        To be called for one piece of the text after the other. After each id, the shares in the
        mixture follow how well each predicted it (a step of expectation maximization).
        """
        mixed = predictions.clone()
        for step, prediction in enumerate(predictions.double().numpy()):
            number = begin + step
            if number == self._block.stop:
                self._remember_block()
            alike = self._moments.nearest(int(self._places[number - self._block.start]))
            self._moments.num_known += 1
            if alike is None:
                continue
            others = self._distributions(*alike)
            with np.errstate(divide="ignore", invalid="ignore"):  # log 0 is −∞; NaN stays NaN
                own = np.log(self.shares[0]) + prediction
                mixed[step] = torch.from_numpy(np.logaddexp(own, np.log(self.shares[1:] @ others)))
            target = self._ids[number + 1]
            came = self.shares * [np.exp(prediction[target]), *others[:, target]]
            if came.sum() > 0:
                self.shares += _SHARE_RATE * (came / came.sum() - self.shares)
                self.shares = np.maximum(self.shares, _LEAST_SHARE)
                self.shares /= self.shares.sum()
        return mixed

    def _remember_block(self) -> None:
        """Add the next moments of the text; what follows each is known when it has been scored."""
        start = self._block.stop
        self._block = range(start, min(start + _BLOCK_CHARACTERS, len(self._ids) - 1))
        before = int(self._ids[start - 1]) if start else -1
        self._places = self._moments.add(self._ids[start : self._block.stop + 1], before)

    def _distributions(
        self, distances: Float[Tensor, " neighbors"], following: Int64[Tensor, " neighbors"]
    ) -> Float64[np.ndarray, "widths vocabulary"]:
        weights = [torch.softmax(distances / -(width * self.width), dim=0) for width in _WIDTHS]
        counts = [
            np.bincount(following.numpy(), weight.numpy(), self._vocabulary_size)
            for weight in weights
        ]
        return np.stack(counts)

    def _usual_distance(self) -> float:
        """Return the median squared distance of a moment to the nearest one."""
        if not len(self._moments):
            return 1.0
        places = np.random.default_rng(0).integers(len(self._moments), size=_NUM_SAMPLES)
        found = [self._moments.nearest(place) for place in places.tolist()]
        nearest = [float(alike[0].min()) for alike in found if alike is not None]
        return max(float(np.median(nearest)), 1e-4) if nearest else 1.0
