"""Counting n-grams takes as long in a large alphabet as in a small one, with the same counts."""

import ctypes

import numpy as np
import pytest

from charlm.kernels import compiler
from charlm.kernels.loading import loaded
from charlm.models.ngrams import KernelNGrams, PythonNGrams, first_weights

needs_compiler = pytest.mark.skipif(
    compiler.library() is None, reason="no C++ compiler on this machine"
)


def uniform_text(alphabet: int, length: int, order: int) -> np.ndarray:
    ids = np.random.default_rng(0).integers(0, alphabet, length)
    return np.concatenate([np.full(order, -1), ids]).astype(np.int64)


@needs_compiler
@pytest.mark.parametrize("order", [0, 1])
def test_counting_takes_constant_time(order: int) -> None:
    """The number of followers that are looked at, of which a scan would look at thousands."""
    looks = []
    for alphabet in (100, 1_000, 20_000):
        ngrams = KernelNGrams(order, alphabet)
        ids = uniform_text(alphabet, 60_000, order)
        number = loaded().charlm_count(ngrams._counts, ctypes.c_void_p(ids.ctypes.data), len(ids))
        looks.append(number / 60_000)
    assert max(looks) < 16, looks


@needs_compiler
@pytest.mark.parametrize(("alphabet", "length"), [(3, 60), (9, 200), (40, 3_000), (900, 4_000)])
@pytest.mark.parametrize("order", [0, 1, 3])
def test_large_contexts_count_as_in_python(order: int, alphabet: int, length: int) -> None:
    """Contexts of one follower, of a few in a row, and of hundreds behind a hash table."""
    ids = uniform_text(alphabet, length, order)
    ids[ids > 0] = ids[ids > 0] * (ids[ids > 0] % 3 > 0)  # one symbol is more frequent
    mixed = []
    for kind in (KernelNGrams, PythonNGrams):
        ngrams = kind(order, alphabet)
        ngrams.count(ids)
        members = np.empty((50, 0, alphabet), np.float32)
        weights = first_weights(order, 0)
        mixed.append(ngrams.mix(ids[-50 - order :], members, weights, rate=0.01, counts=True))
    assert np.isfinite(mixed[0]).all()
    np.testing.assert_allclose(mixed[0], mixed[1], rtol=1e-4, atol=1e-4)
