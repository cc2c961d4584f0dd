"""The match model: the same in the kernels, in numpy and by definition."""

import functools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.ensembles import LETTERS, SIZE, repetitive
from support.kernels import needs_compiler
from support.properties import examples
from support.reference_ngrams import ReferenceNGrams

from charlm.models.ngrams import (
    KernelNGrams,
    NGrams,
    NumpyNGrams,
    Parts,
    first_weights,
    make_ngrams,
)
from charlm.models.ngrams import matches as in_numpy
from charlm.models.ngrams.matches import MATCH_WINDOW

MATCHES = Parts(has_matches=True)
PARTS = [
    pytest.param(MATCHES, id="alone"),
    pytest.param(Parts(LETTERS, has_words=True, has_matches=True), id="words"),
    pytest.param(Parts(LETTERS, has_words=True, has_lines=True, has_matches=True), id="all"),
]
KINDS = [NumpyNGrams, pytest.param(KernelNGrams, marks=needs_compiler)]


def before(ngrams: NGrams) -> np.ndarray:
    return np.full(ngrams.window, -1)


@pytest.mark.parametrize(("boundary", "order"), [(None, 1), (4, 1), (4, 4)])
@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("kind", KINDS)
def test_matches_mix_as_the_reference(
    kind: type[NGrams], parts: Parts, boundary: int | None, order: int
) -> None:
    """The kernels and numpy find and mix matches as the definition does."""
    found, meant = (mixed(one, parts, boundary, order) for one in (kind, ReferenceNGrams))
    for compiled, expected in zip(found, meant, strict=True):
        np.testing.assert_allclose(compiled, expected, atol=1e-4)


@functools.cache  # the reference is slow, and both kinds are compared with it
def mixed(
    kind: type[NGrams], parts: Parts, boundary: int | None, order: int
) -> tuple[np.ndarray, ...]:
    """Return what is mixed with fixed weights, online and afterwards, and the weights."""
    logits = torch.randn(70, 1, SIZE, generator=torch.Generator().manual_seed(0))
    given = logits.log_softmax(2).numpy()
    ngrams = kind(order, SIZE, boundary, parts)
    weights = first_weights(order, 1, ngrams.parts)
    weights += np.random.default_rng(4).uniform(0, 0.3, weights.shape)
    for seed, length in ((1, 400), (2, 20), (3, 8), (4, 0)):  # at once, and one after another
        ngrams.count(np.concatenate([before(ngrams), repetitive(seed, length)]))
    first = np.concatenate([before(ngrams)[:9], repetitive(1, ngrams.window + 61)])
    second = repetitive(2, ngrams.window + 70)
    frozen = ngrams.mix(first, given, weights)
    online = [ngrams.mix(ids, given, weights, rate=0.05, counts=True) for ids in (first, second)]
    return frozen, *online, weights, ngrams.mix(second, given, weights)


@given(st.integers(0, 10_000), st.integers(0, 300), st.sampled_from([None, 4]))
@examples(40)
def test_matches_mix_to_a_distribution(seed: int, length: int, boundary: int | None) -> None:
    ngrams = make_ngrams(3, SIZE, boundary, MATCHES)
    text = repetitive(seed, length)
    ngrams.count(np.concatenate([before(ngrams), text]))
    weights = np.random.default_rng(seed).normal(size=ngrams.weights_shape(1))
    members = np.zeros((20, 1, SIZE), np.float32)
    read = np.concatenate([before(ngrams), text, repetitive(seed + 1, 20)])[-ngrams.window - 20 :]
    mixed = ngrams.mix(read, members, weights, 0.1)
    np.testing.assert_allclose(np.exp(mixed).sum(1), 1, atol=1e-5)


def only_match(ngrams: NGrams) -> np.ndarray:
    """Weights with which the match alone decides: a longer one is surer."""
    weights = np.zeros(ngrams.weights_shape(0))
    weights[:, -1] = np.arange(len(weights))
    return weights


@pytest.mark.parametrize("kind", KINDS)
def test_latest_and_longer_context_is_the_match(kind: type[NGrams]) -> None:
    """12 characters before 6, the latest before others; surer the longer; none below 6."""
    ngrams = kind(1, 40, None, MATCHES)
    context = list(range(20))
    ngrams.count(np.array([*before(ngrams), *context, 30]))
    ngrams.count(np.array([*before(ngrams), *context[-7:], 31]))  # latest after 6, not after 12

    def predict(last: list[int]) -> np.ndarray:
        ids = np.array([*before(ngrams), *last, 0])[-ngrams.window - 1 :]
        return ngrams.mix(ids, np.empty((1, 0, 40), np.float32), only_match(ngrams)).ravel()

    assert predict(context).argmax() == predict(context[-12:]).argmax() == 30
    assert predict(context[-11:]).argmax() == predict(context[-6:]).argmax() == 31
    assert predict(context)[30] > predict(context[-12:])[30]
    assert np.ptp(predict(context[-5:])) == 0
    ngrams.count(np.array([*before(ngrams), *context, 32]))
    assert predict(context[-12:]).argmax() == predict(context[-6:]).argmax() == 32


@pytest.mark.parametrize("kind", KINDS)
def test_no_match_crosses_a_boundary(kind: type[NGrams]) -> None:
    """What comes before the boundary neither makes a match nor lengthens one."""
    ngrams = kind(1, 40, 39, MATCHES)
    record = [39, 1, 2, 3, 4, 5]
    ngrams.count(np.array([*before(ngrams), 39, 7, 8, 9, 10, 11, *record, 20, *record[1:4]]))

    def predict(last: list[int]) -> np.ndarray:
        ids = np.array([*before(ngrams), *last, 0])[-ngrams.window - 1 :]
        return ngrams.mix(ids, np.empty((1, 0, 40), np.float32), only_match(ngrams)).ravel()

    assert predict([7, 8, 9, 10, 11, *record]).argmax() == 20
    assert np.array_equal(predict([7, 8, 9, 10, 11, *record]), predict([5, 5, 5, *record]))
    assert np.ptp(predict([8, 9, 10, 11, *record[:5]])) == 0


def test_equal_hashes_are_no_match(monkeypatch: pytest.MonkeyPatch) -> None:
    """In numpy, a hash only finds the place; the text decides."""
    monkeypatch.setattr(
        in_numpy, "context_keys", lambda ids, places, length: np.zeros(len(places), np.uint64)
    )
    ngrams = NumpyNGrams(1, 40, None, MATCHES)
    ngrams.count(np.array([*before(ngrams), *range(20)]))
    for last, is_match in ((range(10, 19), True), (range(9, 18), False)):
        ids = np.array([*before(ngrams), *last, 0])[-ngrams.window - 1 :]
        mixed = ngrams.mix(ids, np.empty((1, 0, 40), np.float32), only_match(ngrams))
        assert (np.ptp(mixed) > 0) == is_match


@needs_compiler
def test_many_contexts_are_found_again() -> None:
    """More contexts than a table first has places for, of which many hashes share a place."""
    ids = np.random.default_rng(0).integers(0, 200, 30_000)
    found = []
    for kind in (KernelNGrams, NumpyNGrams):
        ngrams = kind(0, 200, None, MATCHES)
        text = np.concatenate([before(ngrams), ids])
        ngrams.count(text)
        members = np.empty((3_000, 0, 200), np.float32)
        found.append(ngrams.mix(text[: ngrams.window + 3_000], members, only_match(ngrams)))
    np.testing.assert_allclose(found[0], found[1], atol=1e-4)
    assert (found[0].argmax(1) == ids[:3_000])[MATCH_WINDOW:].all()


def test_pieces_counted_online_are_the_whole() -> None:
    """A text that is counted in pieces stays one text: matches lie across their edges."""
    text, members = repetitive(5, 200), np.zeros((200, 0, SIZE), np.float32)
    found = []
    for edges in ([], [1, 7, 90]):
        ngrams = make_ngrams(2, SIZE, None, Parts(LETTERS, has_words=True, has_matches=True))
        weights, ids = only_match(ngrams) / 20, np.concatenate([before(ngrams), text])
        mixed = [
            ngrams.mix(
                ids[piece[0] : piece[-1] + ngrams.window + 1], members[piece], weights, 0.0, True
            )
            for piece in np.split(np.arange(200), edges)
        ]
        found.append(np.concatenate(mixed))
    assert np.array_equal(found[0], found[1])
