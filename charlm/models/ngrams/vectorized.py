"""N-gram counts in numpy: sorted arrays, for machines without the kernels."""

import numpy as np
from jaxtyping import Float32, Float64, Int64, Integer, UInt64

from charlm.models.ngrams.contexts import context_keys, longest_contexts
from charlm.models.ngrams.interface import LogProbabilities, NGrams
from charlm.models.ngrams.lines import NUM_LINE_STATES, line_keys
from charlm.models.ngrams.matches import Matches, match_rows
from charlm.models.ngrams.parts import NO_PARTS, Parts
from charlm.models.ngrams.table import Followers, Table
from charlm.models.ngrams.words import NUM_WORD_CONTEXTS, word_keys

DISCOUNTS = np.array([0.9, 1.2, 1.4])
"""Discounts of a count of 1, of 2, and of more."""
MOST_RAISED = 5.0
"""Longest step of the mixture weights (see `NGrams.mix`), in nats."""
_FEW_CHARACTERS = 256
"""Largest number of characters to count one by one: for so few, sorting takes longer."""
_PIECE_FLOATS = 1 << 20
"""Number of features that are computed at once."""


class NumpyNGrams(NGrams):
    """`NGrams` in numpy. A hash identifies a context, as in the kernels."""

    def __init__(
        self,
        order: int,
        vocabulary_size: int,
        boundary: int | None = None,
        parts: Parts = NO_PARTS,
    ) -> None:
        super().__init__(order, vocabulary_size, boundary, parts)
        self._tables = [Table() for _ in range(order + 1)]
        self._other_tables = [Table() for _ in range(parts.num_contexts)]  # of words and lines
        self._matches = Matches(boundary) if parts.has_matches else None

    def count(self, ids: Integer[np.ndarray, " ids"]) -> None:
        ids = ids.astype(np.int64, copy=False)
        places = np.arange(self.window, len(ids))
        if len(places) <= _FEW_CHARACTERS:
            for place in places.tolist():
                self._count(ids, place)
            return
        counted = places[:0]  # places whose symbol is new after the longer context
        longest = longest_contexts(ids, places, self.order, self.boundary)
        for length in range(self.order, -1, -1):
            begins = places[longest == length]
            counted = np.concatenate([counted, begins])
            new = self._tables[length].count_all(context_keys(ids, counted, length), ids[counted])
            counted = counted[new]
        for table, keys in zip(self._other_tables, self._other_keys(ids, places)[0], strict=True):
            table.count_all(keys[keys > 0], ids[places[keys > 0]])
        if self._matches:
            self._matches.add(ids, places)

    def _other_keys(
        self, ids: Int64[np.ndarray, " ids"], places: Int64[np.ndarray, " places"]
    ) -> tuple[UInt64[np.ndarray, "contexts places"], Int64[np.ndarray, " places"]]:
        """Return the keys of contexts of words and lines, 0 for none, and the states of lines."""
        letters, keys, states = self.parts.letters, [], np.zeros_like(places)
        if letters is not None and self.parts.has_words:
            keys.append(word_keys(ids, places, letters, self.boundary))
        if letters is not None and self.parts.has_lines:
            of_lines, states = line_keys(ids, places, letters, self.boundary)
            keys.append(of_lines)
        return np.concatenate([np.empty((0, len(places)), np.uint64), *keys]), states

    def _count(self, ids: Int64[np.ndarray, " ids"], place: int) -> None:
        places = np.array([place])
        for length in range(
            int(longest_contexts(ids, places, self.order, self.boundary)[0]), -1, -1
        ):
            key = context_keys(ids, places, length)
            if not self._tables[length].count(key, int(ids[place])):
                break
        for table, key in zip(self._other_tables, self._other_keys(ids, places)[0], strict=True):
            if key:
                table.count(key, int(ids[place]))
        if self._matches:
            self._matches.add(ids, places)

    def _features(
        self, ids: Int64[np.ndarray, " ids"], places: Int64[np.ndarray, " places"]
    ) -> tuple[
        Float64[np.ndarray, "places contexts vocabulary"], list[Int64[np.ndarray, " places"]]
    ]:
        """Return the features of the counts, and the rows of weights of each place."""
        longest, limits = (
            np.zeros(len(places), np.int64),
            longest_contexts(ids, places, self.order, self.boundary),
        )
        share = np.full((len(places), self.vocabulary_size), 1 / self.vocabulary_size)
        logs = []
        for length, table in enumerate(self._tables):
            contexts, symbols, counts = table.followers(context_keys(ids, places, length))
            if length:
                inside = limits[contexts] >= length
                contexts, symbols, counts = contexts[inside], symbols[inside], counts[inside]
            elif 0 < (num_seen := len(contexts) // max(1, len(places))) < self.vocabulary_size:
                # The discounts go to the symbols that were never counted.
                share[:] = 1 / (self.vocabulary_size - num_seen)
                share[contexts, symbols] = 0
            longest[np.unique(contexts)] = length
            share = _interpolated(share, Followers(contexts, symbols, counts))
            logs.append(np.log(share))
        features, rows = [logs[0], *map(np.subtract, logs[1:], logs)], [longest]
        num_known, num_rows = np.zeros(len(places), np.int64), self.order + 1
        other_keys, states = self._other_keys(ids, places)
        for number, table in enumerate(self._other_tables):
            followers = table.followers(other_keys[number])
            if self.parts.has_words and number < NUM_WORD_CONTEXTS:
                num_known[np.unique(followers.contexts)] += 1
            features.append(np.log(_interpolated(share, followers)) - logs[-1])
        if self.parts.has_words:
            rows.append(num_rows + num_known)
            num_rows += NUM_WORD_CONTEXTS + 1
        if self.parts.has_lines:
            rows.append(num_rows + states)
            num_rows += NUM_LINE_STATES
        if self._matches:
            symbols, lengths = self._matches.find(ids, places)
            is_match = np.zeros_like(share)
            is_match[lengths > 0, symbols[lengths > 0]] = 1
            features.append(is_match)
            rows.append(num_rows + match_rows(lengths))
        return np.stack(features, axis=1), rows

    def mix(
        self,
        ids: Int64[np.ndarray, " ids"],
        members: Float32[np.ndarray, "time members vocabulary"],
        weights: Float64[np.ndarray, "rows features"],
        rate: float = 0.0,
        counts: bool = False,
    ) -> LogProbabilities:
        mixed = np.empty((len(members), self.vocabulary_size), np.float32)
        size = max(1, _PIECE_FLOATS // (weights.shape[1] * self.vocabulary_size))
        step = 1 if counts else size
        for begin in range(0, len(members), step):
            piece = slice(begin, begin + step)
            places = np.arange(len(members))[piece] + self.window
            of_counts, rows = self._features(ids, places)
            features = np.concatenate([members[piece], of_counts], axis=1)
            if rate:
                for number, place in enumerate(places):
                    own, chosen = features[number], [of_each[number] for of_each in rows]
                    mixed[begin + number] = _normalized(weights[chosen].sum(axis=0) @ own)
                    expected = own @ np.exp(mixed[begin + number])
                    gradient = own[:, ids[place]] - expected
                    raised = rate * len(chosen) * (gradient @ gradient)  # nats
                    weights[chosen] += rate / max(1.0, raised / MOST_RAISED) * gradient
            else:
                summed = np.sum([weights[of_each] for of_each in rows], axis=0)
                mixed[piece] = _normalized(np.einsum("tf,tfv->tv", summed, features))
            if counts:
                self._count(ids, self.window + begin)
        return mixed


def _interpolated(
    share: Float64[np.ndarray, "places vocabulary"], followers: Followers
) -> Float64[np.ndarray, "places vocabulary"]:
    """Return the discounted counts of contexts, interpolated with shorter contexts' shares."""
    contexts, symbols, counts = followers
    share, discounts = share.copy(), DISCOUNTS[np.minimum(counts, 3) - 1]
    total = np.bincount(contexts, counts, len(share))
    taken_off = np.bincount(contexts, discounts, len(share))
    is_known = total > 0
    share[is_known] *= (taken_off[is_known] / total[is_known])[:, None]
    share[contexts, symbols] += (counts - discounts) / total[contexts]
    return share


def _normalized(
    sums: Float64[np.ndarray, "*time vocabulary"],
) -> Float64[np.ndarray, "*time vocabulary"]:
    return sums - np.logaddexp.reduce(sums, axis=-1, keepdims=True)
