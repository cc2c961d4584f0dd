"""Nearest-neighbour language model: what followed similar hidden states (kNN-LM).

Khandelwal, Levy, Jurafsky, Zettlemoyer and Lewis, "Generalization through memorization: nearest
neighbor language models", 2020. Entries of the scored text are added as it is read (Grave, Joulin
and Usunier, "Improving neural language models with a continuous cache", 2017).
"""

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from charlm.corpus.vocabulary import Ids
from charlm.models.language_model import LanguageModel
from charlm.prediction.datastore import MAX_ENTRIES, Datastore

_BANDWIDTHS = (0.25, 2.0)
"""In units of the median distance: a neighbour at distance d has the weight exp(−d / bandwidth).

Distances are squared.
"""
_FIRST_WEIGHT = 0.05
"""Mixture weight of the neighbours at each bandwidth at first."""
_WEIGHT_RATE = 0.002
"""Step size of the mixture weights, which follow some 500 characters."""
_LEAST_WEIGHT = 0.001
"""Lower bound of a mixture weight: from 0 it could not rise again."""
_COLUMN_CHARACTERS, _MAX_COLUMNS = 1000, 128
"""Minimum length of a column of the training text, and maximum number of columns.

A shorter text is one column. Each column starts from the initial state.
"""
_BLOCK_CHARACTERS = 32_768
"""Number of characters of a scored text that are read at once."""
_NUM_SAMPLES = 1000
"""Number of entries that are sampled to estimate the median distance."""


class NearestNeighbors:
    """Interpolates predictions with those of nearest neighbours.

    They are sought in the training text and in the texts scored so far.
    """

    def __init__(self, network: LanguageModel, training_ids: Ids) -> None:
        """Read the training text; later changes of the network's weights have no effect."""
        self._vocabulary_size = network.vocabulary_size
        self._datastore = Datastore(network)
        num_columns = max(1, min(_MAX_COLUMNS, len(training_ids) // _COLUMN_CHARACTERS))
        num_entries = max(0, min(MAX_ENTRIES, len(training_ids) - 1))
        num_entries -= num_entries % num_columns
        if num_entries:
            self._datastore.begin(num_columns)
            self._datastore.add(training_ids[-num_entries - 1 :])
        self._num_trained = num_entries
        self.median_distance = self._sampled_median()
        self.forget()

    def forget(self) -> None:
        """Forget the texts scored so far, and reset the mixture weights.

        Entries of the training text that they have displaced are not restored.
        """
        self._datastore.num_known = self._num_trained
        of_each = [_FIRST_WEIGHT] * len(_BANDWIDTHS)
        self.weights = np.array([1 - sum(of_each), *of_each])
        self.begin(np.zeros(0, np.int64))

    def begin(self, ids: Ids) -> None:
        """Begin to score a text from its first character."""
        self._ids = ids
        self._block, self._places = range(0), torch.empty(0, dtype=torch.int64)
        self._datastore.begin()

    def mix(
        self, predictions: Float[Tensor, "time vocabulary"], begin: int
    ) -> Float[Tensor, "time vocabulary"]:
        """Mix log-probabilities of the ids after the one at `begin` with those of neighbours.

        Call it for consecutive segments, in order. After each id, the mixture weights take a step
        of expectation maximization.
        """
        mixed = predictions.clone()
        for step, prediction in enumerate(predictions.double().numpy()):
            number = begin + step
            if number == self._block.stop:
                self._add_block()
            nearest = self._datastore.nearest(int(self._places[number - self._block.start]))
            self._datastore.num_known += 1
            if nearest is None:
                continue
            others = self._distributions(*nearest)
            with np.errstate(divide="ignore", invalid="ignore"):  # log 0 is −∞; NaN stays NaN
                own = np.log(self.weights[0]) + prediction
                mixed[step] = torch.from_numpy(np.logaddexp(own, np.log(self.weights[1:] @ others)))
            target = self._ids[number + 1]
            joint = self.weights * [np.exp(prediction[target]), *others[:, target]]
            if joint.sum() > 0:
                self.weights += _WEIGHT_RATE * (joint / joint.sum() - self.weights)
                self.weights = np.maximum(self.weights, _LEAST_WEIGHT)
                self.weights /= self.weights.sum()
        return mixed

    def _add_block(self) -> None:
        """Add the next part of the text; each value is known when it has been scored."""
        start = self._block.stop
        self._block = range(start, min(start + _BLOCK_CHARACTERS, len(self._ids) - 1))
        before = int(self._ids[start - 1]) if start else -1
        self._places = self._datastore.add(self._ids[start : self._block.stop + 1], before)

    def _distributions(
        self, distances: Float[Tensor, " neighbors"], values: Int64[Tensor, " neighbors"]
    ) -> Float64[np.ndarray, "bandwidths vocabulary"]:
        of_each = []
        for bandwidth in _BANDWIDTHS:
            weights = torch.softmax(distances / -(bandwidth * self.median_distance), dim=0)
            of_each.append(np.bincount(values.numpy(), weights.numpy(), self._vocabulary_size))
        return np.stack(of_each)

    def _sampled_median(self) -> float:
        """Return the median squared distance of an entry to its nearest neighbour."""
        if not len(self._datastore):
            return 1.0
        places = np.random.default_rng(0).integers(len(self._datastore), size=_NUM_SAMPLES)
        found = [self._datastore.nearest(place) for place in places.tolist()]
        smallest = [float(nearest[0].min()) for nearest in found if nearest is not None]
        return max(float(np.median(smallest)), 1e-4) if smallest else 1.0
