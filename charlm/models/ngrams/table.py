"""A table of the followers of contexts of one length, in sorted arrays of numpy."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from charlm.models.ngrams.contexts import Keys


class Followers(NamedTuple):
    """Symbols that followed some of several contexts, and how often."""

    contexts: Int64[np.ndarray, " followers"]
    """Number of the context, of each follower."""
    symbols: Int64[np.ndarray, " followers"]
    counts: Int64[np.ndarray, " followers"]


@dataclass
class Table:
    """The followers of all contexts of one length, in the order of the contexts' keys."""

    keys: Keys = field(default_factory=lambda: np.empty(0, np.uint64))
    starts: Int64[np.ndarray, " contexts+1"] = field(default_factory=lambda: np.zeros(1, np.int64))
    """Position of the first follower of each context, and the number of all followers."""
    symbols: Int64[np.ndarray, " followers"] = field(default_factory=lambda: np.empty(0, np.int64))
    counts: Int64[np.ndarray, " followers"] = field(default_factory=lambda: np.empty(0, np.int64))
    changed: dict[int, dict[int, int]] = field(default_factory=dict)
    """Followers of contexts counted one by one later, by key; they replace those in the arrays."""

    def followers(self, keys: Keys) -> Followers:
        """Return the followers of contexts; a context that was not counted has none."""
        places = np.searchsorted(self.keys, keys)
        numbers = np.flatnonzero(np.searchsorted(self.keys, keys, "right") > places)
        starts, ends = self.starts[places[numbers]], self.starts[places[numbers] + 1]
        sizes = ends - starts
        every = np.arange(sizes.sum()) + np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
        found = Followers(np.repeat(numbers, sizes), self.symbols[every], self.counts[every])
        if not self.changed:
            return found
        changed = {
            n: self.changed[key] for n, key in enumerate(keys.tolist()) if key in self.changed
        }
        kept = ~np.isin(found.contexts, list(changed))
        rows = [(n, s, count) for n, counts in changed.items() for s, count in counts.items()]
        added = np.array(rows, np.int64).reshape(-1, 3).T
        return Followers(
            *(np.concatenate([old[kept], new]) for old, new in zip(found, added, strict=True))
        )

    def count(self, key: Keys, symbol: int) -> bool:
        """Count a symbol after one context; return whether it is new there."""
        own = int(key[0])
        if own not in self.changed:
            _, symbols, counts = self.followers(key)
            self.changed[own] = dict(zip(symbols.tolist(), counts.tolist(), strict=True))
        followers = self.changed[own]
        followers[symbol] = followers.get(symbol, 0) + 1
        return followers[symbol] == 1

    def count_all(
        self, keys: Keys, symbols: Int64[np.ndarray, " contexts"]
    ) -> Int64[np.ndarray, " first"]:
        """Count a symbol after each context; return the numbers of the symbols that are new there.

        Of several equal ones, it returns the first.
        """
        if self.changed:
            self._merge()
        old = len(self.symbols)
        keys = np.concatenate([np.repeat(self.keys, np.diff(self.starts)), keys])
        symbols = np.concatenate([self.symbols, symbols])
        counts = np.concatenate([self.counts, np.ones(len(keys) - old, np.int64)])
        order = np.lexsort((symbols, keys))  # stable: what was counted before comes first
        keys, symbols = keys[order], symbols[order]
        is_context = np.diff(keys, prepend=~keys[:1]) != 0
        first = np.flatnonzero(is_context | (np.diff(symbols, prepend=-1) != 0))
        self.counts = np.add.reduceat(counts[order], first) if len(first) else counts
        self.symbols = symbols[first]
        self.keys = keys[is_context]
        self.starts = np.append(np.flatnonzero(is_context[first]), len(first))
        return order[first][order[first] >= old] - old

    def _merge(self) -> None:
        """Move the contexts that were counted one by one to the arrays."""
        keys = np.union1d(self.keys, np.array(list(self.changed), np.uint64))
        contexts, symbols, counts = self.followers(keys)
        order = np.argsort(contexts, kind="stable")
        self.keys, self.symbols, self.counts = keys, symbols[order], counts[order]
        self.starts = np.searchsorted(contexts[order], np.arange(len(keys) + 1))
        self.changed = {}
