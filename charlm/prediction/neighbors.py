"""Nearest neighbours: what followed the most similar moments of the text so far.

A moment is a place in a text, with what a network's hidden state is there and which character comes
next. Moments are similar if their states are (Khandelwal, Levy, Jurafsky, Zettlemoyer and Lewis,
"Generalization through memorization: nearest neighbor language models", 2020). Those of the text
that is being scored count, too (Grave, Joulin and Usunier, "Improving neural language models with a
continuous cache", 2017).
"""

import copy

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from charlm.corpus.vocabulary import Ids
from charlm.kernels.products import product
from charlm.models.language_model import LanguageModel

_MOST_REMEMBERED = 1_000_000
"""Moments of the training text to remember: its last ones. Each takes 300 bytes."""
_NUM_DIMENSIONS = 64
"""States are projected at random to this number of dimensions, which keeps distances roughly."""
_LARGE_VOCABULARY = 256
"""Above this size, moments are compared after the same character, else after the same two."""
_NUM_NEIGHBORS = 256
_WIDTHS = (0.25, 2.0)
"""Neighbours at a squared distance d weigh exp(−d / width), as fractions of the usual distance."""
_FIRST_SHARE = 0.05
"""What each width has in the mixture at first."""
_SHARE_RATE = 0.002
"""How fast the shares follow what came."""
_LEAST_SHARE = 0.001
_SMALLEST = 1e-300
"""A probability above 0, for its logarithm."""
_COLUMN_CHARACTERS, _MOST_COLUMNS = 1000, 128
"""The training text is read in columns of at least this length, and in at most this number."""
_NUM_TIME_STEPS = 256
_NUM_SAMPLES = 1000
"""Moments of the training text whose nearest neighbours give the usual distance."""


class NearestNeighbors:
    """Mixes predictions with what followed similar moments of the training text and of this one."""

    def __init__(self, network: LanguageModel, training_ids: Ids) -> None:
        """Remember the moments of the training text; the network may learn afterwards."""
        self._network = copy.deepcopy(network)
        self._vocabulary_size = network.vocabulary_size
        self._same = 1 if network.vocabulary_size > _LARGE_VOCABULARY else 2
        size = network.config.hidden_size
        draw = torch.Generator().manual_seed(0)
        self._projection = torch.randn(size, _NUM_DIMENSIONS, generator=draw) / _NUM_DIMENSIONS**0.5
        self._contexts = torch.empty(0, dtype=torch.int64)
        self._states = torch.empty(0, _NUM_DIMENSIONS)
        self._next = torch.empty(0, dtype=torch.int64)
        self._trained = torch.empty(0, dtype=torch.bool)
        last = training_ids[-_MOST_REMEMBERED - 1 :]
        self._remember(last, max(1, min(_MOST_COLUMNS, len(last) // _COLUMN_CHARACTERS)))
        self._trained = torch.ones(len(self._next), dtype=torch.bool)
        self.width = self._usual_distance()
        self.forget()

    def forget(self) -> None:
        """Forget all texts but the training text, and what came in them."""
        kept = self._trained
        self._contexts, self._states = self._contexts[kept], self._states[kept]
        self._next, self._trained = self._next[kept], self._trained[kept]
        self.shares = np.array([1 - _FIRST_SHARE * len(_WIDTHS), *[_FIRST_SHARE] * len(_WIDTHS)])

    def begin(self, ids: Ids) -> None:
        """Begin to score a text; each of its moments is compared only with those before it."""
        self._ids = ids.astype(np.int64)
        self._places = self._remember(ids, 1)

    def mix(
        self, predictions: Float[Tensor, "time vocabulary"], begin: int
    ) -> Float[Tensor, "time vocabulary"]:
        """Return log-probabilities of the ids after `begin`, mixed from others and neighbours'.

        The share of each follows how well it predicted what came (expectation maximization).
        """
        targets = self._ids[begin + 1 : begin + 1 + len(predictions)]
        mixed = predictions.double().exp().numpy()
        for step, target in enumerate(targets):
            alike = self._neighbors(int(self._places[begin + step]))
            if alike is not None:
                components = np.stack([mixed[step], *self._distributions(*alike)])
                mixed[step] = np.maximum(self.shares @ components, _SMALLEST)
                posterior = self.shares * components[:, target] / mixed[step, target]
                self.shares += _SHARE_RATE * (posterior - self.shares)
                self.shares = np.maximum(self.shares, _LEAST_SHARE)
                self.shares /= self.shares.sum()
        return torch.from_numpy(np.log(mixed)).float()

    def _remember(self, ids: Ids, num_columns: int) -> Int64[Tensor, " moments"]:
        """Add the moments of a text, all but the last; return their places among all moments.

        Moments are sorted by their last characters, then by time. So a moment is compared with the
        ones before it in the same group.
        """
        if len(ids) < 2:
            return torch.empty(0, dtype=torch.int64)
        length = (len(ids) - 1) // num_columns
        read = torch.from_numpy(ids[: length * num_columns + 1].astype(np.int64))
        contexts = read[:-1].clone()
        if self._same == 2:
            contexts[1:] += (read[:-2] + 1) * self._vocabulary_size
        known = len(self._contexts)
        order = torch.cat([self._contexts, contexts]).argsort(stable=True)
        places = torch.empty_like(order)
        places[order] = torch.arange(len(order))

        def merge(before: Tensor, new: Tensor) -> Tensor:
            merged = torch.empty(len(order), *new.shape[1:], dtype=new.dtype)
            merged[places[:known]], merged[places[known:]] = before, new
            return merged

        self._contexts = merge(self._contexts, contexts)
        states = self._states_of(read[:-1].view(num_columns, length).t())
        self._states = merge(self._states, states)
        self._next = merge(self._next, read[1:])
        self._trained = merge(self._trained, torch.zeros(len(contexts), dtype=torch.bool))
        return places[known:]

    @torch.no_grad()
    def _states_of(self, ids: Int64[Tensor, "time batch"]) -> Float[Tensor, "moments dimensions"]:
        """Return the projected states after each id, one column after the other."""
        network = self._network
        state, projected = network.initial_state(ids.shape[1]), list[Tensor]()
        for inputs in torch.split(ids, _NUM_TIME_STEPS):
            hidden, state = network.hidden_states(inputs.to(network.device), state)
            projected.append(product(hidden.cpu(), self._projection))
        return torch.cat(projected).transpose(0, 1).flatten(0, 1)

    def _neighbors(
        self, place: int
    ) -> tuple[Float[Tensor, " neighbors"], Int64[Tensor, " neighbors"]] | None:
        """Return the squared distances of the nearest moments, and what came next there."""
        first = int(torch.searchsorted(self._contexts, self._contexts[place]))
        if first == place:
            return None
        differences = self._states[first:place] - self._states[place]
        distances = differences.square_().sum(dim=1)
        nearest = distances.topk(min(_NUM_NEIGHBORS, len(distances)), largest=False, sorted=False)
        return nearest.values, self._next[first:place][nearest.indices]

    def _distributions(
        self, distances: Float[Tensor, " neighbors"], following: Int64[Tensor, " neighbors"]
    ) -> list[Float64[np.ndarray, " vocabulary"]]:
        """Return the distribution over the vocabulary for each width."""
        return [
            np.bincount(
                following.numpy(),
                torch.softmax(distances / -(width * self.width), dim=0).numpy(),
                self._vocabulary_size,
            )
            for width in _WIDTHS
        ]

    def _usual_distance(self) -> float:
        """Return the median squared distance of a moment to the nearest one."""
        places = np.random.default_rng(0).integers(max(1, len(self._next)), size=_NUM_SAMPLES)
        found = [self._neighbors(place) for place in places.tolist()] if len(self._next) else []
        nearest = [float(alike[0].min()) for alike in found if alike is not None]
        return max(float(np.median(nearest)), 1e-4) if nearest else 1.0
