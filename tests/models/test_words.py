"""Contexts of words: the same in the kernels, in numpy and by definition."""

import functools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.ensembles import LETTERS, SIZE, words_of
from support.kernels import needs_compiler
from support.properties import examples
from support.reference_ngrams import ReferenceNGrams

from charlm.models.ngrams import (
    NUM_WORD_CONTEXTS,
    KernelNGrams,
    NGrams,
    NumpyNGrams,
    first_weights,
    make_ngrams,
)
from charlm.models.ngrams.words import WORD_WINDOW

BEFORE = np.full(WORD_WINDOW, -1)
KINDS = [NumpyNGrams, pytest.param(KernelNGrams, marks=needs_compiler)]


@pytest.mark.parametrize("order", [1, 3, 7])
@pytest.mark.parametrize("boundary", [None, 4])
@pytest.mark.parametrize("members", [0, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_words_mix_as_the_reference(
    kind: type[NGrams], members: int, boundary: int | None, order: int
) -> None:
    """The kernels and numpy count and mix contexts of words as the definition does."""
    found, meant = (mixed(one, members, boundary, order) for one in (kind, ReferenceNGrams))
    for compiled, expected in zip(found, meant, strict=True):
        np.testing.assert_allclose(compiled, expected, atol=1e-4)


@functools.cache  # the reference is slow, and both kinds are compared with it
def mixed(
    kind: type[NGrams], members: int, boundary: int | None, order: int
) -> tuple[np.ndarray, ...]:
    """Return what is mixed with fixed weights, online and afterwards, and the weights."""
    counted, more = words_of(1, 700), words_of(2, 20)
    text = np.concatenate([[-1] * 3, words_of(3, WORD_WINDOW - 3 + 80)])
    logits = torch.randn(80, members, SIZE, generator=torch.Generator().manual_seed(0))
    given = logits.log_softmax(2).numpy()
    ngrams = kind(order, SIZE, boundary, LETTERS)
    assert ngrams.window == WORD_WINDOW
    weights = first_weights(order, members, NUM_WORD_CONTEXTS)
    weights += np.random.default_rng(4).uniform(0, 0.1, weights.shape)
    for ids in (counted, more):  # at once, and one after another
        ngrams.count(np.concatenate([BEFORE, ids]))
    frozen = ngrams.mix(text, given, weights)
    online = ngrams.mix(text, given, weights, rate=0.05, counts=True)
    return frozen, online, weights, ngrams.mix(text, given, weights)


@given(st.integers(0, 10_000), st.integers(0, 300), st.sampled_from([None, 4]))
@examples(40)
def test_words_mix_to_a_distribution(seed: int, length: int, boundary: int | None) -> None:
    ngrams = make_ngrams(3, SIZE, boundary, LETTERS)
    ngrams.count(np.concatenate([BEFORE, words_of(seed, max(1, length))]))
    weights = np.random.default_rng(seed).normal(size=ngrams.weights_shape(1))
    members = np.zeros((20, 1, SIZE), np.float32)
    mixed = ngrams.mix(words_of(seed + 1, WORD_WINDOW + 20), members, weights, 0.1)
    np.testing.assert_allclose(np.exp(mixed).sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_window_matters(kind: type[NGrams]) -> None:
    """Characters further back, or before the boundary, change no prediction; words within do."""
    ngrams = kind(2, SIZE, 4, LETTERS)
    ngrams.count(np.concatenate([BEFORE, words_of(1, 900)]))
    weights = first_weights(2, 0, NUM_WORD_CONTEXTS) + 0.2
    nobody = np.empty((1, 0, SIZE), np.float32)

    def predict(context: list[int]) -> np.ndarray:
        ids = np.array([*BEFORE, *context, 0])[-WORD_WINDOW - 1 :]
        return ngrams.mix(ids, nobody, weights)

    near = [1, 2, 0, 2, 1, 0, 1]
    assert np.array_equal(predict([2, 1, 4, *near]), predict([1, 1, 4, *near]))
    assert np.array_equal(
        predict([1, 0, *[2] * (WORD_WINDOW - 8), *near]),
        predict([2, 0, *[2] * (WORD_WINDOW - 8), *near]),
    )
    assert not np.array_equal(predict([1, 1, 0, *near[3:]]), predict([2, 1, 0, *near[3:]]))
    upper = [3 if symbol == 1 else symbol for symbol in near[:-2]]
    weights[:, 1:3] = 0  # only the words, not the characters
    assert np.array_equal(predict([*near[:5], 0, 0, 1]), predict([*upper, 0, 0, 1]))
