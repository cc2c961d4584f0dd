"""The integer network: the same numbers everywhere, and nearly those of the trained network."""

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.integer_networks import (
    SHAPES,
    VOCABULARY,
    random_ids,
    random_model,
    random_network,
    rounded,
)
from support.properties import examples

from charlm.corpus.vocabulary import NUM_CODE_POINTS, Vocabulary
from charlm.errors import CharlmError
from charlm.kernels.compiler import library
from charlm.portable import compiled_steps, symbols
from charlm.portable.compiled_steps import CompiledSteps, steps_of
from charlm.portable.frequencies import TOTAL, TOTAL_BITS, frequencies_of, uniform_frequencies
from charlm.portable.network import IntegerOpening
from charlm.portable.range_coder import NoCharacterError
from charlm.portable.steps import NumpySteps, Steps
from charlm.portable.sums import check_network


@pytest.mark.parametrize("shape", SHAPES)
def test_kernels_and_numpy_agree(shape: str) -> None:
    """Both give the same frequencies and intervals, also with large weights."""
    kernels = library()
    if kernels is None:
        pytest.skip("no compiled kernels")
    for scale in (1.0, 30.0):
        network = random_network(shape, scale=scale)
        compiled, plain = CompiledSteps(network, kernels), NumpySteps(network)
        for length in (0, 1, 150):
            ids = random_ids(VOCABULARY, length)
            for left, right in zip(compiled.read(ids), plain.read(ids), strict=True):
                np.testing.assert_array_equal(left, right)
            np.testing.assert_array_equal(compiled.frequencies, plain.frequencies)


@pytest.mark.parametrize("shape", SHAPES)
def test_kernels_and_numpy_decode_alike(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any bytes are the same symbols for both, or no characters; a call may end anywhere."""
    kernels, found = library(), Counter[bool]()
    if kernels is None:
        pytest.skip("no compiled kernels")
    monkeypatch.setattr(compiled_steps, "_PIECE_SYMBOLS", 7)
    for seed in range(4):
        vocabulary = Vocabulary.of_bytes() if seed == 3 else VOCABULARY
        network = random_network(shape, vocabulary, seed, scale=(1.0, 30.0)[seed % 2])
        ids = random_ids(vocabulary, 40, seed)
        points = np.random.default_rng(seed).integers(0, NUM_CODE_POINTS, 40)
        whole = symbols.encode(NumpySteps(network), vocabulary, points, ids)
        noise = np.random.default_rng(seed).bytes(30)
        for data in (whole, whole[:-9], noise, whole[:9] + noise, b"", b"\xff" * 30):
            compiled, plain = CompiledSteps(network, kernels), NumpySteps(network)
            left, right = (decoded(steps, vocabulary, data) for steps in (compiled, plain))
            assert left == right
            found[left is None] += 1
            if left is not None:
                np.testing.assert_array_equal(compiled.frequencies, plain.frequencies)
    assert found[True] and found[False]


def decoded(steps: Steps, vocabulary: Vocabulary, data: bytes) -> Any:
    """Return a list of 40 symbols, or None if one is no character."""
    try:
        return symbols.decode(steps, vocabulary, data, 40).tolist()
    except NoCharacterError:
        return None


@pytest.mark.parametrize("shape", SHAPES)
def test_predictions_are_nearly_the_models(shape: str) -> None:
    """Rounding costs less than 0.002 bits a character, and 0.1 nats at any."""
    model = random_model(shape)
    ids = random_ids(VOCABULARY, 400)
    with torch.no_grad():
        logits, _ = model(torch.from_numpy(ids)[:-1, None], model.initial_state(1))
    losses = torch.nn.functional.cross_entropy(
        logits[:, 0], torch.from_numpy(ids)[1:], reduction="none"
    )
    _, sizes = steps_of(rounded(model)).read(ids)
    nats = TOTAL_BITS * np.log(2) - np.log(sizes[1:])
    surplus = nats - losses.numpy()
    assert abs(surplus.mean()) < 0.002 * np.log(2)
    assert np.abs(surplus).max() < 0.1


@pytest.mark.parametrize("shape", SHAPES)
def test_an_opening_sets_the_state(shape: str) -> None:
    """From an opening, both implementations predict the same, and not what they do from zero."""
    network = random_network(shape)
    layers, units = len(network.layers), network.hidden_size
    state = np.random.default_rng(1).integers(0, 4000, (2, layers, units), dtype=np.int32)
    opening = IntegerOpening(3, *state)
    plain, other, fresh = NumpySteps(network), steps_of(network), NumpySteps(network)
    plain.begin(opening)
    other.begin(opening)
    fresh.read(np.array([3]))
    np.testing.assert_array_equal(plain.frequencies, other.frequencies)
    assert (plain.frequencies != fresh.frequencies).any()


@examples(50)
@given(
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=300),
    st.integers(12, 23),
    st.sampled_from([75_639, 1_512_775, 30_255_500]),
)
def test_frequencies_share_all(logits: list[int], bits: int, sharpness: int) -> None:
    """Frequencies sum to 2^24, none is 0, and larger logits have no smaller ones."""
    frequencies = frequencies_of(np.array(logits), bits, sharpness)
    assert frequencies.sum() == TOTAL
    assert frequencies.min() >= 1
    ranked = np.array(sorted(zip(logits, frequencies.tolist(), strict=True)))
    below = ranked[ranked[:, 0] < max(logits), 1]
    assert (np.diff(below) >= 0).all()
    assert below.max(initial=0) <= frequencies.max()


@pytest.mark.parametrize("size", [1, 2, 257, 70_000])
def test_uniform_frequencies(size: int) -> None:
    frequencies = uniform_frequencies(size)
    assert frequencies.sum() == TOTAL
    assert frequencies.max() - frequencies.min() <= 1


@pytest.mark.parametrize("weight", [np.inf, np.nan, 1e9, 1e20, 3e38])
def test_impossible_weights_are_refused(weight: float) -> None:
    """In whatever matrix it is: integers that are too large do not become other ones."""
    for name, tensor in random_model("mogrifier of three layers").named_parameters():
        model = random_model("mogrifier of three layers")
        with torch.no_grad():
            model.get_parameter(name).view(-1)[tensor.numel() // 2] = weight
        with pytest.raises(CharlmError, match="weights are"):
            rounded(model)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 30.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_no_sum_can_pass_its_limit(shape: str, scale: float) -> None:
    """The bits of each matrix keep the largest possible sums below 2^31."""
    check_network(random_network(shape, scale=scale))


def test_nothing_here_needs_torch() -> None:
    """Predictions with integers work where torch is not installed."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import charlm.portable.compression, charlm.portable.checkpoint_network"
    )
    environment = os.environ | {"CHARLM_KERNELS": "off"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_a_boundary_begins_anew() -> None:
    """What follows a boundary does not depend on what came before it."""
    boundary = int(VOCABULARY.encode_text("\n")[0])
    network = replace(random_network("lstm"), boundary=boundary)
    after = [boundary, 5, 6]
    for make in (NumpySteps, steps_of):
        alone, later = make(network), make(network)
        alone.read(np.array(after))
        later.read(np.array([7, 8, 9, *after]))
        np.testing.assert_array_equal(alone.frequencies, later.frequencies)
