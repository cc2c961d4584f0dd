"""Contexts of words and of the line above: the same in the kernels, in numpy and by definition."""

import functools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.ensembles import LETTERS, SIZE, lines_of, words_of
from support.kernels import needs_compiler
from support.properties import examples
from support.reference_ngrams import ReferenceNGrams

from charlm.corpus.letters import FIELD_END, LINE_END
from charlm.models.ngrams import (
    KernelNGrams,
    NGrams,
    NumpyNGrams,
    Parts,
    first_weights,
    make_ngrams,
)
from charlm.models.ngrams.lines import LINE_WINDOW
from charlm.models.ngrams.words import WORD_WINDOW

WORDS = Parts(LETTERS, has_words=True)
LINES = Parts(LETTERS, has_lines=True)
BOTH = Parts(LETTERS, has_words=True, has_lines=True)
TEXTS = {WORDS: words_of, LINES: lines_of, BOTH: lines_of}
CASES = [(WORDS, None), (WORDS, 4), (LINES, None), (LINES, 3), (BOTH, None)]
BEFORE = np.full(WORD_WINDOW, -1)
KINDS = [NumpyNGrams, pytest.param(KernelNGrams, marks=needs_compiler)]


@pytest.mark.parametrize(
    ("parts", "boundary", "members", "order"),
    [
        (WORDS, None, 0, 1),
        (WORDS, 4, 2, 3),
        (WORDS, None, 2, 7),
        (LINES, None, 2, 1),
        (LINES, 3, 0, 3),
        (BOTH, None, 2, 3),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_contexts_mix_as_the_reference(
    kind: type[NGrams], parts: Parts, boundary: int | None, members: int, order: int
) -> None:
    """The kernels and numpy count and mix these contexts as the definition does."""
    found, meant = (mixed(one, parts, boundary, members, order) for one in (kind, ReferenceNGrams))
    for compiled, expected in zip(found, meant, strict=True):
        np.testing.assert_allclose(compiled, expected, atol=1e-4)


@functools.cache  # the reference is slow, and both kinds are compared with it
def mixed(
    kind: type[NGrams], parts: Parts, boundary: int | None, members: int, order: int
) -> tuple[np.ndarray, ...]:
    """Return what is mixed with fixed weights, online and afterwards, and the weights."""
    text_of, window = TEXTS[parts], parts.window
    counted, more = text_of(1, 10 * window if parts is WORDS else 2 * window), text_of(2, 20)
    text = np.concatenate([[-1] * 3, text_of(3, window - 3 + 80)])
    logits = torch.randn(80, members, SIZE, generator=torch.Generator().manual_seed(0))
    given = logits.log_softmax(2).numpy()
    ngrams = kind(order, SIZE, boundary, parts)
    assert ngrams.window == window
    weights = first_weights(order, members, parts)
    weights += np.random.default_rng(4).uniform(0, 0.1, weights.shape)
    for ids in (counted, more):  # at once, and one after another
        ngrams.count(np.concatenate([np.full(window, -1), ids]))
    frozen = ngrams.mix(text, given, weights)
    online = ngrams.mix(text, given, weights, rate=0.05, counts=True)
    return frozen, online, weights, ngrams.mix(text, given, weights)


@given(st.integers(0, 10_000), st.integers(0, 300), st.sampled_from(CASES))
@examples(40)
def test_contexts_mix_to_a_distribution(
    seed: int, length: int, case: tuple[Parts, int | None]
) -> None:
    parts, boundary = case
    ngrams, text_of = make_ngrams(3, SIZE, boundary, parts), TEXTS[parts]
    ngrams.count(np.concatenate([np.full(parts.window, -1), text_of(seed, max(1, length))]))
    weights = np.random.default_rng(seed).normal(size=ngrams.weights_shape(1))
    members = np.zeros((20, 1, SIZE), np.float32)
    mixed = ngrams.mix(text_of(seed + 1, parts.window + 20), members, weights, 0.1)
    np.testing.assert_allclose(np.exp(mixed).sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_window_matters(kind: type[NGrams]) -> None:
    """Characters further back, or before the boundary, change no prediction; words within do."""
    ngrams = kind(2, SIZE, 4, WORDS)
    ngrams.count(np.concatenate([BEFORE, words_of(1, 900)]))
    weights = first_weights(2, 0, WORDS) + 0.2
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


@pytest.mark.parametrize("kind", KINDS)
def test_a_field_is_predicted_from_above(kind: type[NGrams]) -> None:
    """Where four lines in a row have one second field, a new one is expected to come again."""
    size, space, end = 20, 0, 19
    letters, random = np.arange(size), np.random.default_rng(0)
    letters[[space, end]] = FIELD_END, LINE_END

    def some_word(length: int) -> list[int]:
        return list(map(int, random.integers(1, 19, length)))

    def line(second: list[int]) -> list[int]:
        return [*some_word(int(random.integers(1, 9))), space, *second, end]

    words = [some_word(6) for _ in range(60)]
    text = [symbol for word in words for _ in range(4) for symbol in line(word)]
    ngrams = kind(2, size, None, Parts(letters, has_lines=True))
    ngrams.count(np.array([-1] * LINE_WINDOW + text))
    weights = np.zeros(ngrams.weights_shape(0))
    weights[:3, :3], weights[:, 3:] = 0.25, 1.0
    new = some_word(6)
    ids = np.array([-1] * LINE_WINDOW + line(new) + [5, 6, space, *new])
    mixed = ngrams.mix(ids[-LINE_WINDOW - 6 :], np.zeros((6, 0, size), np.float32), weights)
    assert mixed.argmax(1).tolist() == new
