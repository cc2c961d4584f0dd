"""The datastore of a nearest-neighbour language model.

An entry has a network's hidden state after a character (the key) and the character that follows
(the value). An entry is compared only with those that have the same last characters (its context).
"""

import copy

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from charlm.corpus.vocabulary import Ids
from charlm.kernels.loading import computing_in
from charlm.kernels.products import product
from charlm.models.language_model import LanguageModel

MAX_ENTRIES = 1_000_000
"""Entries to keep: the latest. Each takes 280 bytes; `add` needs up to three times that."""
_NUM_DIMENSIONS = 64
"""Dimensions of the keys: a random projection of the states, which roughly preserves distances."""
_LARGE_VOCABULARY = 256
"""In larger vocabularies, the context is the last character, otherwise the last two."""
_MAX_CANDIDATES = 32_768
"""Entries to compare with one: the latest with the same context."""
_NUM_NEIGHBORS = 256
_NUM_TIME_STEPS = 256


class Datastore:
    """Entries sorted by their context, then by number: the order in which they are added.

    So the candidates for an entry are those just before it.
    """

    def __init__(self, network: LanguageModel) -> None:
        """Copy the network: later changes of its weights have no effect."""
        self._network = copy.deepcopy(network)
        self._vocabulary_size = network.vocabulary_size
        self._context_length = 1 if network.vocabulary_size > _LARGE_VOCABULARY else 2
        size = network.config.hidden_size
        draw = torch.Generator().manual_seed(0)
        self._projection = torch.randn(size, _NUM_DIMENSIONS, generator=draw) / _NUM_DIMENSIONS**0.5
        self._keys = torch.empty(0, _NUM_DIMENSIONS)
        self._values = self._contexts = self._numbers = torch.empty(0, dtype=torch.int64)
        self.num_known = 0
        """Number of entries so far whose value is known; the next `add` drops the others."""

    def __len__(self) -> int:
        return len(self._numbers)

    def begin(self, num_columns: int = 1) -> None:
        """Begin a text, in columns of equal length, read in parallel from the initial state."""
        self._state = self._network.initial_state(num_columns)

    def add(self, ids: Ids, before: int = -1) -> Int64[Tensor, " entries"]:
        """Add the next part of the text: an entry for each id but the last.

        `before` is the id before this part, −1 if it begins the text. Returns the places of the new
        entries among all.
        """
        read = torch.from_numpy(ids.astype("int64"))
        contexts = read[:-1].clone()
        if self._context_length == 2:
            contexts[1:] += (read[:-2] + 1) * self._vocabulary_size
            contexts[0] += (before + 1) * self._vocabulary_size
        numbers = torch.arange(self.num_known, self.num_known + len(contexts))
        is_recent = self._numbers > self.num_known + len(contexts) - 1 - MAX_ENTRIES
        kept = is_recent & (self._numbers < self.num_known)
        order = torch.cat([self._contexts[kept], contexts]).argsort(stable=True)
        places = torch.empty_like(order)
        places[order] = torch.arange(len(order))
        num_kept = len(order) - len(contexts)

        def merge(old: Tensor, new: Tensor) -> Tensor:
            merged = new.new_empty(len(order), *new.shape[1:])
            merged[places[:num_kept]], merged[places[num_kept:]] = old[kept], new
            return merged

        self._keys = merge(self._keys, self._read(read[:-1]))
        self._values = merge(self._values, read[1:])
        self._contexts = merge(self._contexts, contexts)
        self._numbers = merge(self._numbers, numbers)
        return places[num_kept:]

    @torch.no_grad()
    def _read(self, ids: Int64[Tensor, " entries"]) -> Float[Tensor, "entries dimensions"]:
        """Return the key of each id."""
        network, num_columns = self._network, self._state[0][0].shape[0]
        columns = ids.view(num_columns, -1)
        keys = torch.empty(*columns.shape, _NUM_DIMENSIONS)
        with computing_in("float32"):
            for start in range(0, columns.shape[1], _NUM_TIME_STEPS):
                inputs = columns[:, start : start + _NUM_TIME_STEPS].t().to(network.device)
                hidden, self._state = network.hidden_states(inputs, self._state)
                projected = product(hidden.float().cpu(), self._projection)
                keys[:, start : start + _NUM_TIME_STEPS] = projected.transpose(0, 1)
        return keys.flatten(0, 1)

    def nearest(
        self, place: int
    ) -> tuple[Float[Tensor, " neighbors"], Int64[Tensor, " neighbors"]] | None:
        """Return the squared distances and values of the nearest candidates for an entry.

        Returns None if there is no candidate.
        """
        first = int(torch.searchsorted(self._contexts, self._contexts[place]))
        first = max(first, place - _MAX_CANDIDATES)
        if first == place:
            return None
        distances = (self._keys[first:place] - self._keys[place]).square_().sum(dim=1)
        nearest = distances.topk(min(_NUM_NEIGHBORS, len(distances)), largest=False, sorted=False)
        return nearest.values, self._values[first:place][nearest.indices]
