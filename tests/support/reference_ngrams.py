"""N-gram counts as the equations say, one character after another."""

from collections import defaultdict

import numpy as np
from jaxtyping import Float32, Float64, Int64, Integer

from charlm.corpus.letters import FIELD_END, LINE_END
from charlm.models.ngrams.interface import LogProbabilities, NGrams
from charlm.models.ngrams.lines import LINE_WINDOW, NUM_LINE_CONTEXTS, NUM_LINE_STATES
from charlm.models.ngrams.matches import MATCH_STEPS, MATCH_WINDOW
from charlm.models.ngrams.parts import NO_PARTS, Parts
from charlm.models.ngrams.words import NUM_WORD_CONTEXTS, WORD_WINDOW

DISCOUNTS = (0.9, 1.2, 1.4)
"""Discounts of a count of 1, of 2, and of more."""


WordContext = tuple[int, tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""The number of a context of words, the letters of the word so far, and those of words before."""
LineContext = tuple[bool, int, str, tuple[int, ...]]
"""Whether the field so far agrees with the field above, the character above, the name of the
context, and what else it consists of."""


class ReferenceNGrams(NGrams):
    """`NGrams` in plain Python: slow, and easy to compare with the definition."""

    def __init__(
        self,
        order: int,
        vocabulary_size: int,
        boundary: int | None = None,
        parts: Parts = NO_PARTS,
    ) -> None:
        super().__init__(order, vocabulary_size, boundary, parts)
        self._seen: list[tuple[list[int], int]] = []
        """Every counted symbol, after the characters that a match may compare."""
        self._followers: dict[tuple[int, ...], dict[int, int]] = defaultdict(dict)
        self._word_followers: dict[WordContext, dict[int, int]] = defaultdict(dict)
        self._line_followers: dict[LineContext, dict[int, int]] = defaultdict(dict)

    def count(self, ids: Integer[np.ndarray, " ids"]) -> None:
        for place in range(self.window, len(ids)):
            self._count(ids[:place], int(ids[place]))

    def _count(self, history: Int64[np.ndarray, " history"], symbol: int) -> None:
        self._seen.append((self._comparable(history), symbol))
        for context in reversed(self._contexts(history)):
            followers = self._followers[context]
            followers[symbol] = followers.get(symbol, 0) + 1
            if followers[symbol] > 1:
                break
        for word_context in self._word_contexts(history):
            followers = self._word_followers[word_context]
            followers[symbol] = followers.get(symbol, 0) + 1
        for line_context in self._line_contexts(history):
            followers = self._line_followers[line_context]
            followers[symbol] = followers.get(symbol, 0) + 1

    def _contexts(self, history: Int64[np.ndarray, " history"]) -> list[tuple[int, ...]]:
        """Return the contexts at the end of a history, the empty one first."""
        last = history[len(history) - self.order :].tolist()
        contexts = [tuple(last[len(last) - length :]) for length in range(self.order + 1)]
        return [one for one in contexts if -1 not in one and self.boundary not in one[1:]]

    def _word_contexts(self, history: Int64[np.ndarray, " history"]) -> list[WordContext]:
        """Return the contexts of words at the end of a history."""
        letters = self.parts.letters
        if letters is None or not self.parts.has_words:
            return []
        words: list[tuple[int, ...]] = [()]
        is_between = False
        for symbol in history[: -WORD_WINDOW - 1 : -1].tolist():
            if symbol in (-1, self.boundary):
                break
            letter = int(letters[symbol])
            if letter > 0 and is_between:
                words.append(())
            if letter > 0:
                words[-1] = (letter, *words[-1])
            is_between = letter <= 0
        own, last, second = (*words, (), ())[:3]
        return [
            (0, own, (), ()),
            (1, own, last, ()),
            (2, own, (), second),
            (3, own, last, second),
        ]

    def _line_contexts(self, history: Int64[np.ndarray, " history"]) -> list[LineContext]:
        """Return the contexts of the line above at the end of a history, if there are any."""
        letters, last = self.parts.letters, history[-LINE_WINDOW:].tolist()
        if letters is None or not self.parts.has_lines:
            return []
        marks = [place for place, symbol in enumerate(last) if symbol in (-1, self.boundary)]
        lines = list[list[list[int]]]([[[]]])  # the fields of each line
        for symbol in last[marks[-1] + 1 :] if marks else last:
            lines[-1][-1].append(symbol)
            if letters[symbol] == FIELD_END:
                lines[-1].append([])
            if letters[symbol] == LINE_END:
                lines.append([[]])
        if not marks:  # the first line is cut
            del lines[0]
        if not lines:
            return []
        *before, own = lines
        number, field = len(own) - 1, own[-1]
        rests = [[symbol for one in line[number:] for symbol in one] for line in before]
        found = [rest[len(field)] if len(rest) > len(field) else None for rest in rests]
        if not found or found[-1] is None:
            return []
        two_above = found[-2] if len(found) > 1 and found[-2] is not None else -1
        agrees, above = rests[-1][: len(field)] == field, found[-1]
        return [
            (agrees, above, "place", (number, len(field))),
            (agrees, above, "last", (last[-1],)),
            (agrees, above, "two", (two_above,)),
        ]

    def _comparable(self, history: Int64[np.ndarray, " history"]) -> list[int]:
        """Return the last characters of the text and of the record, the last one first."""
        last = list[int]()
        for symbol in history[: -MATCH_WINDOW - 1 : -1].tolist():
            if symbol == -1:
                break
            last.append(symbol)
            if symbol == self.boundary:
                break
        return last

    def match(self, history: Int64[np.ndarray, " history"]) -> tuple[int, int] | None:
        """Return the symbol after the latest repetition of 12 characters, or of 6, and its length.

        Returns None without a repetition.
        """
        last = self._comparable(history)
        for least in (12, 6):
            for earlier, symbol in reversed(self._seen):
                equal = [a == b for a, b in zip(last, earlier, strict=False)]
                length = [*equal, False].index(False)
                if length >= least:
                    return symbol, length
        return None

    def predict(
        self, history: Int64[np.ndarray, " history"]
    ) -> tuple[Float64[np.ndarray, "contexts vocabulary"], int]:
        """Return the predictions of contexts of each length, and the longest length with counts."""
        distribution = np.full(self.vocabulary_size, 1 / self.vocabulary_size)
        distributions, longest = list[Float64[np.ndarray, " vocabulary"]](), 0
        contexts = self._contexts(history)
        for length in range(self.order + 1):
            followers = self._followers.get(contexts[length], {}) if length < len(contexts) else {}
            if length == 0 and 0 < len(followers) < self.vocabulary_size:
                # The discounts go to the symbols that were never counted.
                distribution = np.full(
                    self.vocabulary_size, 1 / (self.vocabulary_size - len(followers))
                )
                distribution[list(followers)] = 0
            if followers:
                longest, distribution = length, _interpolated(distribution, followers)
            distributions.append(distribution)
        return np.stack(distributions), longest

    def mix(
        self,
        ids: Int64[np.ndarray, " ids"],
        members: Float32[np.ndarray, "time members vocabulary"],
        weights: Float64[np.ndarray, "rows features"],
        rate: float = 0.0,
        counts: bool = False,
    ) -> LogProbabilities:
        mixed = np.empty((len(members), self.vocabulary_size), np.float32)
        for step, log_probabilities in enumerate(members):
            history, symbol = ids[: self.window + step], int(ids[self.window + step])
            distributions, longest = self.predict(history)
            logs = np.log(distributions)
            features = np.concatenate([log_probabilities, logs[:1], np.diff(logs, axis=0)])
            rows, num_known = [longest], 0
            for word_context in self._word_contexts(history):
                followers = self._word_followers.get(word_context, {})
                num_known += len(followers) > 0
                lift = np.log(_interpolated(distributions[-1], followers)) - logs[-1]
                features = np.concatenate([features, lift[None]])
            num_rows = self.order + 1
            if self.parts.has_words:
                rows.append(num_rows + num_known)
                num_rows += NUM_WORD_CONTEXTS + 1
            if self.parts.has_lines:
                line_contexts = self._line_contexts(history)
                lifts = [
                    np.log(_interpolated(distributions[-1], self._line_followers.get(one, {})))
                    - logs[-1]
                    for one in line_contexts
                ] or [np.zeros(self.vocabulary_size)] * NUM_LINE_CONTEXTS
                features = np.concatenate([features, lifts])
                rows.append(num_rows + (1 + line_contexts[0][0] if line_contexts else 0))
                num_rows += NUM_LINE_STATES
            if self.parts.has_matches:
                predicted, length = self.match(history) or (0, 0)
                is_match = np.zeros((1, self.vocabulary_size))
                is_match[0, predicted] = length > 0
                features = np.concatenate([features, is_match])
                rows.append(num_rows + sum(length >= step for step in MATCH_STEPS))
            sums = weights[rows].sum(axis=0) @ features
            mixed[step] = sums - np.logaddexp.reduce(sums)
            if rate:
                expected = features @ np.exp(mixed[step])
                gradient = features[:, symbol] - expected
                raised = rate * len(rows) * float(gradient @ gradient)
                weights[rows] += rate / max(1.0, raised / 5) * gradient
            if counts:
                self._count(history, symbol)
        return mixed


def _interpolated(
    shorter: Float64[np.ndarray, " vocabulary"], followers: dict[int, int]
) -> Float64[np.ndarray, " vocabulary"]:
    """Return the discounted counts of a context, interpolated with a shorter one's prediction."""
    if not followers:
        return shorter
    total = sum(followers.values())
    discounts = {s: DISCOUNTS[min(n, 3) - 1] for s, n in followers.items()}
    distribution = shorter * sum(discounts.values()) / total
    for symbol, count in followers.items():
        distribution[symbol] += (count - discounts[symbol]) / total
    return distribution
