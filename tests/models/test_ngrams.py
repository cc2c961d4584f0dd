"""Counts of n-grams: the same in the kernels, in numpy and by definition, in any alphabet."""

import ctypes
import sys
from pathlib import Path

import numpy as np
import pytest
from support.kernels import needs_compiler
from support.processes import exit_code_of_child
from support.reference_ngrams import ReferenceNGrams

from charlm.corpus.letters import FIELD_END, LINE_END
from charlm.kernels.loading import loaded
from charlm.models.ngrams import KernelNGrams, NGrams, NumpyNGrams, Parts, compiled, first_weights
from charlm.models.ngrams.contexts import context_keys


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
        text = ctypes.c_void_p(ids.ctypes.data)
        number = loaded().charlm_count(ngrams._counts, text, len(ids), 2)
        looks.append(number / 60_000)
    assert max(looks) < 16, looks


@pytest.mark.parametrize(("alphabet", "length"), [(3, 60), (9, 200), (40, 3_000), (900, 4_000)])
@pytest.mark.parametrize(("order", "boundary"), [(0, None), (1, None), (3, None), (3, 1)])
@pytest.mark.parametrize("kind", [NumpyNGrams, pytest.param(KernelNGrams, marks=needs_compiler)])
def test_large_contexts_are_counted(
    kind: type[NGrams], order: int, boundary: int | None, alphabet: int, length: int
) -> None:
    """Contexts of one follower, of a few in a row, and of hundreds behind a hash table."""
    ids = uniform_text(alphabet, length, order)
    ids[ids > 0] = ids[ids > 0] * (ids[ids > 0] % 3 > 0)  # one symbol is more frequent
    mixed = []
    for one in (kind, ReferenceNGrams):
        ngrams = one(order, alphabet, boundary)
        ngrams.count(ids)
        members = np.empty((50, 0, alphabet), np.float32)
        weights = first_weights(order, 0)
        mixed.append(ngrams.mix(ids[-50 - order :], members, weights, rate=0.01, counts=True))
    assert np.isfinite(mixed[0]).all()
    np.testing.assert_allclose(mixed[0], mixed[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [NumpyNGrams, pytest.param(KernelNGrams, marks=needs_compiler)])
def test_no_context_crosses_a_boundary(kind: type[NGrams]) -> None:
    """Records in another order give the same counts; the record before one changes nothing."""
    boundary, order, alphabet = 1, 4, 5
    ids = uniform_text(alphabet, 900, 0)
    ids[0] = ids[-1] = boundary
    records = np.split(ids[:-1], np.flatnonzero(ids[:-1] == boundary)[1:])
    mixed = []
    for text, before in ((records, [0, 2, 3, 4]), (records[::-1], [-1, -1, -1, -1])):
        ngrams = kind(order, alphabet, boundary)
        ngrams.count(np.concatenate([np.full(order, -1), *text, [boundary]]))
        read = np.array([*before, boundary, 0, 2, 3, 2, 0, 4, 3], np.int64)
        members = np.empty((len(read) - order, 0, alphabet), np.float32)
        mixed.append(ngrams.mix(read, members, first_weights(order, 0))[1:])
    assert np.array_equal(mixed[0], mixed[1])


def followers_of(ngrams: NumpyNGrams, context: tuple[int, ...]) -> dict[int, int]:
    """Return the symbols that followed a context, and how often."""
    ids, length = np.array([*context, 0]), len(context)
    keys = context_keys(ids, np.array([length]), length)
    _, symbols, counts = ngrams._tables[length].followers(keys)
    return dict(zip(symbols.tolist(), counts.tolist(), strict=True))


@pytest.mark.parametrize("boundary", [None, 1])
@pytest.mark.parametrize("alphabet", [3, 40])
def test_numpy_counts_are_exact(alphabet: int, boundary: int | None) -> None:
    """Texts that are counted at once, and characters counted one by one, in turns."""
    texts = [uniform_text(alphabet, length, 3)[seed:] for seed, length in enumerate([600, 9, 400])]
    in_numpy, expected = NumpyNGrams(3, alphabet, boundary), ReferenceNGrams(3, alphabet, boundary)
    for text in [*texts, np.concatenate([np.full(3, -1), texts[0]]), texts[1], texts[0]]:
        for ngrams in (in_numpy, expected):
            ngrams.count(text)
    assert len(expected._followers) > 20
    for context, followers in expected._followers.items():
        assert followers_of(in_numpy, context) == followers


def predictions_of(ngrams: NGrams, text: np.ndarray) -> list[np.ndarray]:
    """Return predictions of counts, and what they become while text and weights are learnt."""
    members = np.zeros((40, 0, ngrams.vocabulary_size), np.float32)
    weights = np.random.default_rng(3).uniform(0, 0.3, ngrams.weights_shape(0))
    ids = text[-ngrams.window - 40 :].astype(np.int64)
    frozen = ngrams.mix(ids, members, weights)
    return [frozen, ngrams.mix(ids, members, weights, rate=0.05, counts=True), weights]


@needs_compiler
@pytest.mark.parametrize("boundary", [None, 1])
@pytest.mark.parametrize("alphabet", [4, 90, 700])
def test_threads_and_pieces_count_alike(
    boundary: int | None, alphabet: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, in pieces, or one after another, by any number of threads: the same to a bit."""
    random, letters = np.random.default_rng(1), np.arange(alphabet) % 3
    letters[[0, 1]] = LINE_END, FIELD_END  # the symbols that occur most often
    parts = Parts(letters, has_words=True, has_lines=True, has_matches=True)
    ids = (random.random(9_000) ** 3 * alphabet).astype(np.int16)
    ids[5_000:7_000] = ids[:2_000]
    found = []
    for threads, piece in ((1, 1 << 20), (2, 1 << 20), (5, 5_000), (2, 1_000)):
        monkeypatch.setattr(compiled, "num_threads", lambda threads=threads: threads)
        monkeypatch.setattr(compiled, "_PIECE_CHARACTERS", piece)
        ngrams = KernelNGrams(4, alphabet, boundary, parts)
        text = np.concatenate([np.full(ngrams.window, -1, np.int16), ids])
        ngrams.count(text)
        found.append(predictions_of(ngrams, text))
    for others in found[1:]:
        assert all(map(np.array_equal, found[0], others))


@needs_compiler
@pytest.mark.parametrize("followers", [1, 2, 12])
def test_counts_may_grow_large(followers: int) -> None:
    """In a vocabulary that leaves few bits for counts: of one follower, a few, and many."""
    alphabet, order = 1 << 20, 1
    times = np.arange(followers)
    repeated = np.tile(np.stack([np.full(followers, 3), alphabet - 1 - times], 1).ravel(), 3_000)
    ids = np.concatenate([[-1], repeated, np.tile([3, alphabet - 1], 9_000)])
    found = []
    for kind in (KernelNGrams, NumpyNGrams):
        ngrams = kind(order, alphabet)
        ngrams.count(ids)
        members = np.zeros((3, 0, alphabet), np.float32)
        found.append(ngrams.mix(ids[-4:], members, first_weights(order, 0)))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-4)


@needs_compiler
@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process as Linux does")
@pytest.mark.parametrize("is_online", [False, True])
def test_lack_of_memory_is_an_error(is_online: bool) -> None:
    """Counts that do not fit the memory raise `MemoryError`, and do not end the process."""
    assert exit_code_of_child(lambda: _lacks_memory(is_online)) == 0


def _lacks_memory(is_online: bool) -> bool:
    """Return whether the kernels raise `MemoryError` where they may take 48 MB more."""
    import resource

    # 32 MB of predictions, of which the kernels need five; or ten million contexts
    size, order = (1 << 23, 1) if is_online else (1 << 20, 4)
    ngrams = KernelNGrams(order, size)
    ids = np.random.default_rng(0).integers(size, size=2 if is_online else 3_000_000)
    members, weights = np.zeros((1, 0, size), np.float32), first_weights(1, 0)
    used = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 48_000_000,) * 2)
    try:
        if is_online:
            ngrams.mix(ids, members, weights, counts=True)
        else:
            ngrams.count(ids)
    except MemoryError as reason:
        return "n-gram counts" in str(reason)
    return False


@pytest.mark.parametrize("kind", [NumpyNGrams, pytest.param(KernelNGrams, marks=needs_compiler)])
@pytest.mark.parametrize("surprise", [1.0, 30.0, 3_000.0])
def test_no_surprise_overturns_the_weights(kind: type[NGrams], surprise: float) -> None:
    """A very unlikely id raises its sum, relative to the expected sum, by at most five nats."""
    ngrams, members = kind(1, 4), np.array([[[0, -surprise, -3, -5]]], np.float32)
    weights = first_weights(1, 1)
    before, rate = weights.copy(), 0.05
    found = ngrams.mix(np.array([-1, 1]), members, weights, rate)
    features = np.concatenate([members[0], np.full((2, 4), [[np.log(0.25)], [0]])])
    gradient = features[:, 1] - features @ np.exp(found[0])
    raised = (weights - before)[0] @ gradient
    assert raised == pytest.approx(min(5, rate * gradient @ gradient), rel=1e-4)
