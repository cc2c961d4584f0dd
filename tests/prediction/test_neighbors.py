"""Nearest neighbours match their definition, are causal, sum to one, and can be forgotten."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.ensembles import SIZE, make_member, some_ids
from support.properties import examples

from charlm.config.schema import ModelConfig
from charlm.models.language_model import LanguageModel
from charlm.prediction import datastore, neighbors
from charlm.prediction.neighbors import NearestNeighbors


def predictions_of(length: int, size: int = SIZE) -> torch.Tensor:
    logits = torch.randn(length, size, generator=torch.Generator().manual_seed(3))
    return logits.log_softmax(1)


def states(network: LanguageModel, ids: np.ndarray, num_columns: int = 1) -> np.ndarray:
    """The projected states after each id, in columns that are read separately."""
    draw = torch.Generator().manual_seed(0)
    projection = torch.randn(network.config.hidden_size, 64, generator=draw).numpy() / 8
    columns = []
    for column in np.split(ids, num_columns):
        inputs = torch.from_numpy(column).unsqueeze(1)
        with torch.no_grad():
            hidden, _ = network.hidden_states(inputs, network.initial_state(1))
        columns.append(hidden[:, 0].numpy().astype(np.float64) @ projection)
    return np.concatenate(columns)


def by_definition(
    network: LanguageModel, training: np.ndarray, text: np.ndarray, most: int, width: float
) -> np.ndarray:
    """Mix what followed the 256 nearest states, found by comparing all with all.

    The training text is read in columns of 50 characters. At most `most` candidates are compared,
    the latest ones. `width` is the sampled median distance.
    """
    size = network.vocabulary_size
    same = 1 if size > 256 else 2
    training = training[(len(training) - 1) % 14 :]
    found = states(network, training[:-1], 14), states(network, text[:-1])
    all_states, following = np.concatenate(found), np.append(training[1:], text[1:])
    known = len(training) - 1
    contexts = [
        tuple(ids[max(0, end - same) : end])
        for ids in (training, text)
        for end in range(1, len(ids))
    ]

    def alike(number: int) -> list[tuple[float, int]]:
        before = [other for other in range(number) if contexts[other] == contexts[number]][-most:]
        distances = ((all_states[before] - all_states[number]) ** 2).sum(1)
        return sorted(zip(distances.tolist(), following[before].tolist(), strict=True))[:256]

    usual = np.median([found[0][0] for found in map(alike, range(known)) if found])
    assert usual == pytest.approx(width, rel=0.3)
    shares = np.array([0.9, 0.05, 0.05])
    mixed = predictions_of(len(text) - 1, size).double().exp().numpy()
    for step, target in enumerate(text[1:]):
        if nearest := alike(known + step):
            components = [mixed[step].copy()]
            for part in (0.25, 2):
                weights = [math.exp((nearest[0][0] - d) / (part * width)) for d, _ in nearest]
                distribution = np.bincount([after for _, after in nearest], weights, size)
                components.append(distribution / sum(weights))
            mixed[step] = shares @ components
            came = shares * np.stack(components)[:, target] / mixed[step, target]
            shares = np.maximum(0.998 * shares + 0.002 * came, 0.001)
            shares /= shares.sum()
    logarithms: np.ndarray = np.log(mixed)
    return logarithms


@pytest.mark.parametrize("most", [32_768, 30])
@pytest.mark.parametrize("size", [SIZE, 300])
def test_neighbours_are_those_of_the_definition(
    size: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the same two characters; in a large vocabulary, after the same one."""
    monkeypatch.setattr(neighbors, "_COLUMN_CHARACTERS", 50)
    monkeypatch.setattr(neighbors, "_BLOCK_CHARACTERS", 40)
    monkeypatch.setattr(datastore, "_NUM_TIME_STEPS", 16)
    monkeypatch.setattr(datastore, "_MAX_CANDIDATES", most)
    config = ModelConfig(hidden_size=16, embedding_size=8, num_layers=2)
    network = LanguageModel(config, size)
    network.initialize(torch.Generator().manual_seed(2))
    training, text = some_ids(1, 704), some_ids(2, 90)
    nearest = NearestNeighbors(network.eval(), training)
    given_all = predictions_of(len(text) - 1, size)
    meant = by_definition(network, training, text, most, nearest.median_distance)
    with torch.no_grad():
        network.b_q.add_(1)
        network.layers[0].b_h.add_(1)  # what it learns after that does not matter
    nearest.begin(text)
    mixed = torch.cat([nearest.mix(given_all[:32], 0), nearest.mix(given_all[32:], 32)]).numpy()
    np.testing.assert_allclose(mixed, meant, atol=2e-4)
    assert np.abs(meant - given_all.numpy()).max() > 0.2


@given(st.integers(0, 1000), st.integers(0, 40), st.integers(1, 60), st.integers(0, 59))
@examples(30)
def test_no_later_character_changes_a_mixture(
    seed: int, known: int, length: int, place: int
) -> None:
    text, other = some_ids(seed, length), some_ids(seed, length)
    other[place:] = (other[place:] + 1) % SIZE
    mixed = []
    for one in (text, other):
        nearest = NearestNeighbors(make_member(0), some_ids(seed + 1, known))
        nearest.begin(one)
        mixed.append(nearest.mix(predictions_of(length - 1), 0).numpy())
    np.testing.assert_allclose(np.exp(mixed[0]).sum(1), 1, atol=1e-5)
    np.testing.assert_array_equal(mixed[0][:place], mixed[1][:place])


def test_texts_are_remembered_until_forgotten() -> None:
    """A text read before helps to predict it again."""
    text = np.random.default_rng(1).integers(SIZE, size=200)
    nearest, given_all = NearestNeighbors(make_member(0), some_ids(1)), predictions_of(199)

    def nats() -> float:
        nearest.begin(text)
        mixed = nearest.mix(given_all, 0)
        return -float(mixed[torch.arange(199), torch.from_numpy(text[1:])].sum())

    first = nats()
    assert nats() < first - 20
    nearest.forget()
    assert nats() == first
    nearest.forget()
    nearest.begin(text)
    nearest.mix(given_all[:10], 0)
    cut = NearestNeighbors(make_member(0), some_ids(1))
    cut.begin(text[:11])
    cut.mix(given_all[:10], 0)
    for one in (nearest, cut):  # what was never scored is not known
        one.begin(text)
    assert torch.equal(nearest.mix(given_all, 0), cut.mix(given_all, 0))


def test_a_long_training_text_counts_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only its last entries are kept."""
    for module in (neighbors, datastore):
        monkeypatch.setattr(module, "MAX_ENTRIES", 300)
    last, text, mixed = some_ids(2, 301), some_ids(4, 50), []
    for training in (last, np.append(some_ids(1, 500), last)):
        nearest = NearestNeighbors(make_member(0), training)
        nearest.begin(text)
        mixed.append(nearest.mix(predictions_of(49), 0))
    assert torch.equal(mixed[0], mixed[1])


def test_weights_follow_what_came() -> None:
    """The weight of misleading neighbours falls, and rises again when they help."""
    text = np.arange(2000) % SIZE
    nearest = NearestNeighbors(make_member(0), text)
    blind = torch.full((1999, SIZE), -math.log(SIZE))
    nearest.begin(text)
    nearest.mix(blind, 0)
    assert nearest.weights[0] < 0.1
    random = np.random.default_rng(1).integers(SIZE, size=4000)
    sure = torch.full((3999, SIZE), -9.0)
    sure[torch.arange(3999), torch.from_numpy(random[1:])] = -1e-3
    nearest.begin(random)
    nearest.mix(sure, 0)
    assert nearest.weights[1:].sum() == pytest.approx(0.002, abs=0.002)
    nearest.begin(text)
    nearest.mix(blind, 0)
    assert nearest.weights[0] < 0.2


def test_impossible_predictions_pass() -> None:
    """Without neighbours they stay as they are; with them the weights stay finite."""
    nearest = NearestNeighbors(make_member(0), np.array([0, 0]))
    nearest.begin(np.array([1, 2, 3, 4]))
    impossible = torch.full((3, SIZE), -800.0)
    assert torch.equal(nearest.mix(impossible, 0), impossible)
    nearest.begin(np.array([0, 0, 0, 3]))
    nearest.mix(torch.full((3, SIZE), math.nan), 0)
    assert np.isfinite(nearest.weights).all()
