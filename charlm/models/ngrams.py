"""N-gram counts, their predictions, and the mixture of these with the predictions of networks.

The prediction of a context of k characters interpolates its discounted counts with the prediction
of the context of k − 1 characters (absolute discounting: Ney, Essen and Kneser, 1994). A character
is counted in the longest context first, then in shorter ones, up to the first that has counted it
before (update exclusion: Moffat, 1990). The counts of a short context are then roughly the number
of longer contexts with that character, as in Kneser-Ney smoothing.
"""

import ctypes
import math
import weakref
from abc import ABC, abstractmethod
from collections import defaultdict

import numpy as np
from jaxtyping import Float32, Float64, Int64

from charlm.kernels import compiler
from charlm.kernels.loading import loaded

DISCOUNTS = (0.9, 1.2, 1.4)
"""Discounts of a count of 1, of 2, and of more."""

_SYMBOL_LIMIT = 1 << 31
"""Size of the largest vocabulary: the kernels store a symbol in 32 bits."""

LogProbabilities = Float32[np.ndarray, "time vocabulary"]


class NGrams(ABC):
    """Counts of characters after contexts of up to `order` characters.

    The first `order` elements of all `ids` are context; −1 stands for a place before the text.
    """

    def __init__(self, order: int, vocabulary_size: int) -> None:
        self.order, self.vocabulary_size = order, vocabulary_size

    @abstractmethod
    def count(self, ids: Int64[np.ndarray, " ids"]) -> None:
        """Count every id but the first `order`, which are context."""

    @abstractmethod
    def mix(
        self,
        ids: Int64[np.ndarray, " ids"],
        members: Float32[np.ndarray, "time members vocabulary"],
        weights: Float64[np.ndarray, "contexts features"],
        rate: float = 0.0,
        counts: bool = False,
    ) -> LogProbabilities:
        """Return log-probabilities for every id but the first `order`.

        The mixture is the softmax of a weighted sum of features: the members' log-probabilities,
        that of the empty context, and how much each longer context changes it. `weights` has a row
        for each length that the longest known context may have. With a learning `rate`, that row
        takes a gradient step, in place, after each prediction; with `counts`, each id is counted
        after its prediction.
        """


def make_ngrams(order: int, vocabulary_size: int) -> NGrams:
    """Return empty counts: in the compiled kernels if they are available, else in Python."""
    compiled = compiler.library() is not None
    return (KernelNGrams if compiled else PythonNGrams)(order, vocabulary_size)


def first_weights(order: int, num_members: int) -> Float64[np.ndarray, "contexts features"]:
    """Return initial mixture weights: 3/4 for the mean of the members, and 1/4 for the n-grams.

    With order 0 the n-grams get none: networks know the frequencies of single characters.
    """
    counts = 1.0 if not num_members else 0.25 if order else 0.0
    networks = np.full((order + 1, num_members), (1 - counts) / max(1, num_members))
    return np.hstack([networks, np.full((order + 1, order + 1), counts)])


class PythonNGrams(NGrams):
    """`NGrams` in Python: slow, and the reference for the kernels."""

    def __init__(self, order: int, vocabulary_size: int) -> None:
        super().__init__(order, vocabulary_size)
        self._followers: dict[tuple[int, ...], dict[int, int]] = defaultdict(dict)

    def count(self, ids: Int64[np.ndarray, " ids"]) -> None:
        for place in range(self.order, len(ids)):
            self._count(ids[:place], int(ids[place]))

    def _count(self, history: Int64[np.ndarray, " history"], symbol: int) -> None:
        for context in reversed(self._contexts(history)):
            followers = self._followers[context]
            followers[symbol] = followers.get(symbol, 0) + 1
            if followers[symbol] > 1:
                return

    def _contexts(self, history: Int64[np.ndarray, " history"]) -> list[tuple[int, ...]]:
        """Return the contexts at the end of a history, the empty one first."""
        last = history[len(history) - self.order :].tolist()
        contexts = [tuple(last[len(last) - length :]) for length in range(self.order + 1)]
        return [context for context in contexts if -1 not in context]

    def predict(
        self, history: Int64[np.ndarray, " history"]
    ) -> tuple[Float64[np.ndarray, "contexts vocabulary"], int]:
        """Return the predictions of contexts of each length, and the longest length with counts."""
        distribution = np.full(self.vocabulary_size, 1 / self.vocabulary_size)
        distributions, longest = [], 0
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
                longest, total = length, sum(followers.values())
                discounts = {s: DISCOUNTS[min(n, 3) - 1] for s, n in followers.items()}
                distribution = distribution * sum(discounts.values()) / total
                for symbol, count in followers.items():
                    distribution[symbol] += (count - discounts[symbol]) / total
            distributions.append(distribution)
        return np.stack(distributions), longest

    def mix(
        self,
        ids: Int64[np.ndarray, " ids"],
        members: Float32[np.ndarray, "time members vocabulary"],
        weights: Float64[np.ndarray, "contexts features"],
        rate: float = 0.0,
        counts: bool = False,
    ) -> LogProbabilities:
        mixed = np.empty((len(members), self.vocabulary_size), np.float32)
        for step, log_probabilities in enumerate(members):
            history, symbol = ids[: self.order + step], int(ids[self.order + step])
            distributions, longest = self.predict(history)
            logs = np.log(distributions)
            features = np.concatenate([log_probabilities, logs[:1], np.diff(logs, axis=0)])
            sums = weights[longest] @ features
            mixed[step] = sums - np.logaddexp.reduce(sums)
            if rate:
                expected = features @ np.exp(mixed[step])
                weights[longest] += rate * (features[:, symbol] - expected)
            if counts:
                self._count(history, symbol)
        return mixed


class _Mixture(ctypes.Structure):
    """`Mixture` in ngrams.hpp."""

    _fields_ = (
        ("ids", ctypes.c_void_p),
        ("steps", ctypes.c_int64),
        ("num_members", ctypes.c_int64),
        ("members", ctypes.c_void_p),
        ("weights", ctypes.c_void_p),
        ("rate", ctypes.c_double),
        ("counts", ctypes.c_int64),
        ("mixed", ctypes.c_void_p),
    )


class KernelNGrams(NGrams):
    """`NGrams` in the compiled kernels."""

    def __init__(self, order: int, vocabulary_size: int) -> None:
        super().__init__(order, vocabulary_size)
        if order < 0 or not 0 < vocabulary_size < _SYMBOL_LIMIT:
            raise ValueError(f"no n-grams of order {order} over {vocabulary_size} symbols")
        kernels = loaded()
        self._counts = ctypes.c_void_p(kernels.charlm_ngrams(order, vocabulary_size))
        weakref.finalize(self, kernels.charlm_forget_ngrams, self._counts)

    def count(self, ids: Int64[np.ndarray, " ids"]) -> None:
        ids = self._checked(ids)
        loaded().charlm_count(self._counts, ids.ctypes.data, len(ids))

    def mix(
        self,
        ids: Int64[np.ndarray, " ids"],
        members: Float32[np.ndarray, "time members vocabulary"],
        weights: Float64[np.ndarray, "contexts features"],
        rate: float = 0.0,
        counts: bool = False,
    ) -> LogProbabilities:
        _check_type("members", members, 3, np.float32)
        steps, num_members, _ = members.shape
        _check_shape("members", members, (steps, num_members, self.vocabulary_size))
        _check_type("weights", weights, 2, np.float64)
        _check_shape("weights", weights, (self.order + 1, num_members + self.order + 1))
        if not (weights.flags.c_contiguous and weights.flags.writeable):
            raise ValueError("weights: a writable array in C order was expected")
        ids, members = self._checked(ids), np.ascontiguousarray(members)
        _check_shape("ids", ids, (self.order + steps,))
        mixed = np.empty((steps, self.vocabulary_size), np.float32)
        mixture = _Mixture(
            ids.ctypes.data,
            steps,
            num_members,
            members.ctypes.data,
            weights.ctypes.data,
            rate,
            counts,
            mixed.ctypes.data,
        )
        loaded().charlm_mix(self._counts, ctypes.byref(mixture))
        return mixed

    def _checked(self, ids: Int64[np.ndarray, " ids"]) -> Int64[np.ndarray, " ids"]:
        _check_type("ids", ids, 1, np.int64)
        lowest = min(ids.min(initial=0) + 1, ids[self.order :].min(initial=0))
        if not 0 <= lowest <= ids.max(initial=0) < self.vocabulary_size:
            raise IndexError(f"an id is outside of the {self.vocabulary_size} symbols")
        return np.ascontiguousarray(ids)


def _check_type(name: str, array: np.ndarray, ndim: int, dtype: type[np.generic]) -> None:
    """Raise `TypeError` for another type: the kernels see only the address of an array."""
    if array.dtype != dtype or array.ndim != ndim:
        raise TypeError(
            f"{name}: {ndim} dimensions of {np.dtype(dtype)} were expected, not {array.ndim} of "
            f"{array.dtype}"
        )


def _check_shape(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name}: shape {shape} was expected, not {array.shape}")


def nats(log_probabilities: LogProbabilities, ids: Int64[np.ndarray, " time"]) -> float:
    """Return the sum of −ln p of the ids."""
    return -math.fsum(log_probabilities[np.arange(len(ids)), ids].tolist())
