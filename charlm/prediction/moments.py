"""Moments of texts, and which of them are alike.

A moment is a place in a text, with what a network's hidden state is there and which character comes
next. Moments are compared after the same last characters only, by their states.
"""

import copy

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from charlm.corpus.vocabulary import Ids
from charlm.kernels.loading import computing_in
from charlm.kernels.products import product
from charlm.models.language_model import LanguageModel

MOST_REMEMBERED = 1_000_000
"""Moments to remember: the last ones. Each takes 280 bytes, and twice that while some are added."""
_NUM_DIMENSIONS = 64
"""States are projected at random to this number of dimensions, which keeps distances roughly."""
_LARGE_VOCABULARY = 256
"""Above this size, moments are compared after the same character, else after the same two."""
_MOST_COMPARED = 32_768
"""Moments to compare with one: the last ones after the same characters."""
_NUM_NEIGHBORS = 256
_NUM_TIME_STEPS = 256


class Moments:
    """The moments of texts, in the order in which they are added.

    They are sorted by their last characters, then by their number in that order. So a moment is
    compared with those just before it, up to the first after the same characters.
    """

    def __init__(self, network: LanguageModel) -> None:
        """Use the network as it is now; it may learn afterwards."""
        self._network = copy.deepcopy(network)
        self._vocabulary_size = network.vocabulary_size
        self._same = 1 if network.vocabulary_size > _LARGE_VOCABULARY else 2
        size = network.config.hidden_size
        draw = torch.Generator().manual_seed(0)
        self._projection = torch.randn(size, _NUM_DIMENSIONS, generator=draw) / _NUM_DIMENSIONS**0.5
        self._states = torch.empty(0, _NUM_DIMENSIONS)
        self._contexts = self._following = self._numbers = torch.empty(0, dtype=torch.int64)
        self.num_known = 0
        """Number of moments whose next character is known: when others are added, the rest go."""

    def __len__(self) -> int:
        return len(self._numbers)

    def begin(self, num_columns: int = 1) -> None:
        """Begin a text, in columns of one length that are read side by side from the zero state."""
        self._state = self._network.initial_state(num_columns)

    def add(self, ids: Ids, before: int = -1) -> Int64[Tensor, " moments"]:
        """Add the moments of the next part of the text, all but that of its last id.

        `before` is the id before this part, −1 if it begins the text. Returns the places of its
        moments among all.
        """
        read = torch.from_numpy(ids.astype("int64"))
        contexts = read[:-1].clone()
        if self._same == 2:
            contexts[1:] += (read[:-2] + 1) * self._vocabulary_size
            contexts[0] += (before + 1) * self._vocabulary_size
        numbers = torch.arange(self.num_known, self.num_known + len(contexts))
        is_recent = self._numbers > self.num_known + len(contexts) - 1 - MOST_REMEMBERED
        kept = is_recent & (self._numbers < self.num_known)
        order = torch.cat([self._contexts[kept], contexts]).argsort(stable=True)
        places = torch.empty_like(order)
        places[order] = torch.arange(len(order))
        num_kept = len(order) - len(contexts)

        def merge(old: Tensor, new: Tensor) -> Tensor:
            merged = new.new_empty(len(order), *new.shape[1:])
            merged[places[:num_kept]], merged[places[num_kept:]] = old[kept], new
            return merged

        self._states = merge(self._states, self._read(read[:-1]))
        self._contexts = merge(self._contexts, contexts)
        self._following = merge(self._following, read[1:])
        self._numbers = merge(self._numbers, numbers)
        return places[num_kept:]

    @torch.no_grad()
    def _read(self, ids: Int64[Tensor, " moments"]) -> Float[Tensor, "moments dimensions"]:
        """Return the projected states after each id."""
        network, num_columns = self._network, self._state[0][0].shape[0]
        columns = ids.view(num_columns, -1)
        states = torch.empty(*columns.shape, _NUM_DIMENSIONS)
        with computing_in("float32"):
            for start in range(0, columns.shape[1], _NUM_TIME_STEPS):
                inputs = columns[:, start : start + _NUM_TIME_STEPS].t().to(network.device)
                hidden, self._state = network.hidden_states(inputs, self._state)
                projected = product(hidden.float().cpu(), self._projection)
                states[:, start : start + _NUM_TIME_STEPS] = projected.transpose(0, 1)
        return states.flatten(0, 1)

    def nearest(
        self, place: int
    ) -> tuple[Float[Tensor, " neighbors"], Int64[Tensor, " neighbors"]] | None:
        """Return the squared distances of the nearest moments before one, and their next ids."""
        first = int(torch.searchsorted(self._contexts, self._contexts[place]))
        first = max(first, place - _MOST_COMPARED)
        if first == place:
            return None
        distances = (self._states[first:place] - self._states[place]).square_().sum(dim=1)
        nearest = distances.topk(min(_NUM_NEIGHBORS, len(distances)), largest=False, sorted=False)
        return nearest.values, self._following[first:place][nearest.indices]
