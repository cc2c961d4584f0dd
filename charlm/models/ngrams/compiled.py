"""N-gram counts in the compiled kernels."""

import ctypes
import weakref

import numpy as np
from jaxtyping import Float32, Float64, Int64, Integer

from charlm.kernels.loading import loaded
from charlm.kernels.threads import num_threads
from charlm.models.ngrams.interface import LogProbabilities, NGrams
from charlm.models.ngrams.parts import NO_PARTS, Parts

_SYMBOL_LIMIT = 1 << 30
"""Size of the largest vocabulary: the kernels store a symbol and a count in 31 bits."""
_PIECE_CHARACTERS = 1 << 20
"""Number of characters that are counted at once: they take 64 bytes each meanwhile."""


_NO_BOUNDARY = -2
"""The boundary of running text for the kernels: an id that no text has."""


class _Mixture(ctypes.Structure):
    """`Mixture` in mixture.hpp."""

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

    def __init__(
        self,
        order: int,
        vocabulary_size: int,
        boundary: int | None = None,
        parts: Parts = NO_PARTS,
    ) -> None:
        super().__init__(order, vocabulary_size, boundary, parts)
        if order < 0 or not 0 < vocabulary_size < _SYMBOL_LIMIT:
            raise ValueError(f"no n-grams of order {order} over {vocabulary_size} symbols")
        kernels, letters = loaded(), parts.letters
        if letters is not None:
            _check_type("letters", letters, 1, np.int64)
            letters = np.ascontiguousarray(letters)
        self._counts = ctypes.c_void_p(
            kernels.charlm_ngrams(
                order,
                vocabulary_size,
                _NO_BOUNDARY if boundary is None else boundary,
                None if letters is None else letters.ctypes.data,
                parts.has_words,
                parts.has_lines,
                parts.has_matches,
            )
        )
        weakref.finalize(self, kernels.charlm_forget_ngrams, self._counts)

    @property
    def address(self) -> ctypes.c_void_p:
        """The counts, for the kernels; they exist as long as this object."""
        return self._counts

    def count(self, ids: Integer[np.ndarray, " ids"]) -> None:
        if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
            raise TypeError(f"ids: one dimension of integers was expected, not {ids.dtype}")
        for start in range(self.window, len(ids), _PIECE_CHARACTERS):
            piece = ids[start - self.window : start + _PIECE_CHARACTERS]
            piece = self._checked(piece.astype(np.int64, copy=False))
            result = loaded().charlm_count(
                self._counts, piece.ctypes.data, len(piece), num_threads()
            )
            _check_memory(result)

    def mix(
        self,
        ids: Int64[np.ndarray, " ids"],
        members: Float32[np.ndarray, "time members vocabulary"],
        weights: Float64[np.ndarray, "rows features"],
        rate: float = 0.0,
        counts: bool = False,
    ) -> LogProbabilities:
        _check_type("members", members, 3, np.float32)
        steps, num_members, _ = members.shape
        _check_shape("members", members, (steps, num_members, self.vocabulary_size))
        _check_type("weights", weights, 2, np.float64)
        _check_shape("weights", weights, self.weights_shape(num_members))
        if not (weights.flags.c_contiguous and weights.flags.writeable):
            raise ValueError("weights: a writable array in C order was expected")
        ids, members = self._checked(ids), np.ascontiguousarray(members)
        _check_shape("ids", ids, (self.window + steps,))
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
        _check_memory(loaded().charlm_mix(self._counts, ctypes.byref(mixture)))
        return mixed

    def _checked(self, ids: Int64[np.ndarray, " ids"]) -> Int64[np.ndarray, " ids"]:
        _check_type("ids", ids, 1, np.int64)
        lowest = min(ids.min(initial=0) + 1, ids[self.window :].min(initial=0))
        if not 0 <= lowest <= ids.max(initial=0) < self.vocabulary_size:
            raise IndexError(f"an id is outside the {self.vocabulary_size} symbols")
        return np.ascontiguousarray(ids)


def _check_memory(result: int) -> None:
    """Raise `MemoryError` for the result of the kernels that says so: the counts are incomplete."""
    if result < 0:
        raise MemoryError("n-gram counts")


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
