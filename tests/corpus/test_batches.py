"""Laws of both samplings. The ids are the places of characters, so that a batch shows its own."""

import hashlib
import json
import math
from collections.abc import Callable
from functools import cache
from itertools import islice, pairwise, permutations
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.properties import examples

from charlm.config.schema import BatchesConfig
from charlm.corpus.batch_iterator import Batch, Position
from charlm.corpus.batches import Batches, RandomBatches, SequentialBatches, make_batches
from charlm.corpus.shuffle import Shuffle
from charlm.distributed.processes import portion
from charlm.errors import CorpusError

SAMPLINGS: dict[str, Callable[..., Batches]] = {
    "random": RandomBatches,
    "sequential": SequentialBatches,
}
each_sampling = pytest.mark.parametrize("sampling", list(SAMPLINGS))


class Shape(NamedTuple):
    """How a text is cut."""

    length: int
    batch_size: int
    sequence_length: int
    seed: int


def shortest(sampling: str, batch_size: int, sequence_length: int) -> int:
    """Return how long a text must be: one window, or one prediction a column."""
    return (sequence_length if sampling == "random" else batch_size) + 1


@st.composite
def drawn_shapes(draw: st.DrawFn, longest: int = 200) -> Shape:
    batch_size, sequence_length = draw(st.integers(1, 9)), draw(st.integers(1, 12))
    least = max(batch_size, sequence_length) + 1
    return Shape(
        draw(st.integers(least, least + 12) | st.integers(least, longest)),
        batch_size,
        sequence_length,
        draw(st.integers(0, 3) | st.integers(0, 2**64)),
    )


shapes = drawn_shapes()


def batches_of(sampling: str, shape: Shape) -> Batches:
    ids = np.arange(shape.length, dtype=np.uint16)
    return SAMPLINGS[sampling](ids, shape.batch_size, shape.sequence_length, shape.seed)


def epoch_of(batches: Batches) -> list[Batch]:
    """Take batches to the end of the epoch."""
    number = batches.position.epoch
    taken = []
    while batches.position.epoch == number:
        taken.append(next(batches))
    return taken


def plain(batch: Batch) -> tuple[Any, ...]:
    return batch.inputs.tolist(), batch.targets.tolist(), batch.continues


def plain_list(batches: Batches, count: int) -> list[tuple[Any, ...]]:
    return [plain(batch) for batch in islice(batches, count)]


def columns(epoch: list[Batch]) -> list[list[int]]:
    """Join each column of the batches of an epoch."""
    joined: list[list[int]] = torch.cat([batch.inputs for batch in epoch]).T.tolist()
    return joined


# Both samplings


@each_sampling
@given(shape=shapes)
@examples(50)
def test_targets_follow_the_inputs(sampling: str, shape: Shape) -> None:
    """Targets are the characters after the inputs."""
    batches = batches_of(sampling, shape)
    for batch in epoch_of(batches) + epoch_of(batches):
        assert batch.inputs.dtype == batch.targets.dtype == torch.int64
        assert batch.inputs.shape == batch.targets.shape
        assert batch.inputs.numel() > 0
        assert torch.equal(batch.targets, batch.inputs + 1)
        time, size = batch.inputs.shape
        assert time <= shape.sequence_length
        assert size <= shape.batch_size
        assert torch.equal(
            batch.inputs - batch.inputs[0], torch.arange(time)[:, None] + 0 * batch.inputs
        )
        assert int(batch.targets.max()) < shape.length


@each_sampling
@given(shape=shapes)
@examples(50)
def test_no_target_twice_in_an_epoch(sampling: str, shape: Shape) -> None:
    """No character is a target twice in an epoch."""
    epoch = epoch_of(batches_of(sampling, shape))
    targets = [place for batch in epoch for place in batch.targets.flatten().tolist()]
    assert len(set(targets)) == len(targets)


@each_sampling
@given(shape=drawn_shapes(longest=80))
@example(shape=Shape(length=4, batch_size=2, sequence_length=1, seed=0))
@example(shape=Shape(length=1000, batch_size=64, sequence_length=35, seed=0))
@examples(30)
def test_every_character_becomes_a_target(sampling: str, shape: Shape) -> None:
    """Every character but the first is a target sooner or later."""
    batches = batches_of(sampling, shape)
    missing = set(range(1, shape.length))
    while missing and batches.position.epoch < 400:
        missing.difference_update(next(batches).targets.flatten().tolist())
    assert sorted(missing) == []


@each_sampling
@given(shape=shapes)
@examples(25)
def test_epochs_are_counted_in_fractions(sampling: str, shape: Shape) -> None:
    """The epochs taken are counted in fractions."""
    batches = batches_of(sampling, shape)
    for number in range(3):
        assert batches.position == (number, 0)
        assert batches.epochs == number
        size = len(epoch_of(batches_of_position(sampling, shape, batches.position)))
        for taken in range(size):
            assert batches.position == (number, taken)
            assert batches.epochs == pytest.approx(number + taken / size)
            next(batches)


def batches_of_position(sampling: str, shape: Shape, position: Position) -> Batches:
    batches = batches_of(sampling, shape)
    batches.restore(position)
    return batches


@each_sampling
@given(shape=shapes, before=st.integers(0, 12), after=st.integers(1, 12))
@examples(50)
def test_a_saved_position_continues_exactly(
    sampling: str, shape: Shape, before: int, after: int
) -> None:
    """A saved position continues exactly also across the end of an epoch."""
    uninterrupted = batches_of(sampling, shape)
    plain_list(uninterrupted, before)
    saved = json.dumps(uninterrupted.position)
    restored = batches_of_position(sampling, shape, Position(*json.loads(saved)))
    assert restored.position == uninterrupted.position
    assert restored.epochs == uninterrupted.epochs
    assert plain_list(restored, after) == plain_list(uninterrupted, after)
    assert restored.position == uninterrupted.position


@each_sampling
@given(shape=shapes, before=st.integers(0, 12), after=st.integers(0, 12))
@examples(30)
def test_a_used_iterator_can_go_back(sampling: str, shape: Shape, before: int, after: int) -> None:
    """A used iterator can go back to a position."""
    batches = batches_of(sampling, shape)
    plain_list(batches, before)
    position = batches.position
    first = plain_list(batches, after)
    batches.restore(position)
    assert plain_list(batches, after) == first


@each_sampling
@given(shape=shapes)
@examples(30)
def test_the_seed_determines_the_batches(sampling: str, shape: Shape) -> None:
    """The same seed gives the same batches whatever the global state."""
    first = plain_list(batches_of(sampling, shape), 6)
    torch.rand(1)
    np.random.rand()
    assert plain_list(batches_of(sampling, shape), 6) == first


@each_sampling
def test_another_seed_gives_other_batches(sampling: str) -> None:
    orders = {
        json.dumps(plain_list(batches_of(sampling, Shape(2000, 4, 10, seed)), 100))
        for seed in (0, 1, 2, 2**32, 2**64)
    }
    assert len(orders) == 5


@each_sampling
def test_epochs_begin_at_different_offsets(sampling: str) -> None:
    batches = batches_of(sampling, Shape(100, 4, 8, seed=0))
    offsets = {min(int(batch.inputs.min()) for batch in epoch_of(batches)) for _ in range(100)}
    assert offsets == set(range(8))


@each_sampling
@pytest.mark.parametrize(("batch_size", "sequence_length"), [(1, 1), (7, 3), (3, 7), (32, 64)])
def test_a_text_too_short_for_a_batch(sampling: str, batch_size: int, sequence_length: int) -> None:
    """A text too short for a batch is an error and one character more is not."""
    least = shortest(sampling, batch_size, sequence_length)
    for length in range(least):
        with pytest.raises(CorpusError, match=rf"{length} characters?,.*batches\.\w+ or add text"):
            batches_of(sampling, Shape(length, batch_size, sequence_length, seed=0))
    batches = batches_of(sampling, Shape(least, batch_size, sequence_length, seed=0))
    assert all(batch.inputs.numel() for batch in islice(batches, 3))


@each_sampling
@pytest.mark.parametrize("id_type", [np.uint8, np.uint16, np.uint32])
def test_ids_of_every_size_keep_their_values(sampling: str, id_type: type[np.integer[Any]]) -> None:
    top = int(np.iinfo(id_type).max)
    ids = np.array([top, 0, top - 1, 1] * 5, id_type)
    seen = set()
    for batch in islice(SAMPLINGS[sampling](ids, 2, 3, 0), 20):
        seen.update(batch.inputs.flatten().tolist())
    assert seen == {top, 0, top - 1, 1}


@pytest.mark.parametrize(
    ("sampling", "kind"), [("random", RandomBatches), ("sequential", SequentialBatches)]
)
def test_the_config_names_the_sampling(sampling: Any, kind: type[Batches]) -> None:
    """The config names the sampling and its sizes."""
    config = BatchesConfig(sampling=sampling, batch_size=3, sequence_length=5)
    ids = np.arange(100, dtype=np.uint8)
    batches = make_batches(ids, config, seed=7)
    assert type(batches) is kind
    assert plain_list(batches, 20) == plain_list(kind(ids, 3, 5, 7), 20)


@each_sampling
@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_hapaxes_are_read_as_unknown(sampling: str, probability: float) -> None:
    """Hapaxes are read as unknown in some epochs and nothing else is."""
    hapaxes = list(range(10, 60))
    ids = np.concatenate([np.arange(10, 60), np.repeat(np.arange(1, 10), 6)]).astype(np.uint8)
    np.random.default_rng(1).shuffle(ids)
    sizes = {"sampling": sampling, "batch_size": 2, "sequence_length": 4, "random_offset": False}
    config = BatchesConfig.model_validate(sizes | {"hapax_dropout": probability})
    batches = make_batches(ids, config, seed=3, hapaxes=hapaxes)
    as_they_are = make_batches(ids, BatchesConfig.model_validate(sizes), seed=3)
    hidden = []
    for _ in range(40):
        seen, missing = set(), set()
        for batch, meant in zip(epoch_of(batches), epoch_of(as_they_are), strict=True):
            assert torch.equal(batch.inputs[1:], batch.targets[:-1])
            changed = batch.targets != meant.targets
            assert not batch.targets[changed].any()
            missing.update(meant.targets[changed].tolist())
            seen.update(batch.targets[~changed].tolist())
        assert missing <= set(hapaxes)
        assert not missing & seen
        hidden.append(len(missing) / len(missing | (seen & set(hapaxes))))
    assert np.mean(hidden) == pytest.approx(probability, abs=0.05)
    assert len(set(hidden)) > 1 or probability in (0, 1)
    batches.restore(Position(7, 1))
    again = make_batches(ids, config, seed=3, hapaxes=hapaxes)
    again.restore(Position(7, 1))
    assert plain_list(batches, 30) == plain_list(again, 30)


@pytest.mark.parametrize(
    ("keys", "digest"),
    [
        ({"sampling": "random"}, "bd2133411ee2e6ec"),
        ({"sampling": "random", "random_offset": False}, "654cd650c0edfb23"),
        ({"sampling": "random", "hapax_dropout": 0.5}, "439be115333a9090"),
        ({"sampling": "sequential"}, "9ba8bb8dd5130008"),
        ({"sampling": "sequential", "random_offset": False}, "d4d327122bceb6a9"),
        (
            {"sampling": "sequential", "hapax_dropout": 0.5, "reset_probability": 0.3},
            "342bc5e9f7da2fdc",
        ),
    ],
    ids=lambda value: None if isinstance(value, str) else " ".join(map(str, value.values())),
)
def test_golden_batches(keys: dict[str, Any], digest: str) -> None:
    """Another digest means that no run can be resumed: explain it or revert it."""
    config = BatchesConfig.model_validate({"batch_size": 5, "sequence_length": 7} | keys)
    ids = np.arange(1, 251, dtype=np.uint8)
    found = hashlib.sha256()
    for share in (range, lambda size: portion(size, 1, 2)):  # one process, the second of two
        batches = make_batches(ids, config, 3, share, hapaxes=range(9, 90))
        for batch in islice(batches, 40):
            found.update(json.dumps([plain(batch), batch.first_column, batch.num_columns]).encode())
        batches.restore(Position(6, 2))
        found.update(json.dumps(plain_list(batches, 9)).encode())
    assert found.hexdigest()[:16] == digest


# Random sampling


@given(shape=shapes)
@examples(50)
def test_random_windows_tile_the_text(shape: Shape) -> None:
    """Random windows tile the text from one offset each once."""
    batches = batches_of("random", shape)
    for _ in range(3):
        epoch = epoch_of(batches)
        assert all(len(batch.inputs) == shape.sequence_length for batch in epoch)
        starts = torch.cat([batch.inputs[0] for batch in epoch]).tolist()
        offset, last = min(starts), max(starts)
        assert sorted(starts) == list(range(offset, last + 1, shape.sequence_length))
        assert offset < shape.sequence_length
        assert last + 2 * shape.sequence_length > shape.length - 1  # no room for one more window


@given(shape=shapes)
@examples(50)
def test_random_batches_are_full(shape: Shape) -> None:
    """Random batches are full but the last and never continue."""
    epoch = epoch_of(batches_of("random", shape))
    assert all(batch.inputs.shape[1] == shape.batch_size for batch in epoch[:-1])
    assert not any(batch.continues for batch in epoch)


def test_random_windows_are_reordered() -> None:
    """Random windows come in another order each epoch."""
    batches = batches_of("random", Shape(1001, 1, 5, seed=0))
    orders = []
    for _ in range(5):
        starts = [int(batch.inputs[0, 0]) for batch in epoch_of(batches)]
        assert starts != sorted(starts)
        orders.append(tuple(start // 5 for start in starts))
    assert len(set(orders)) == 5


# Sequential sampling


@given(shape=shapes)
@examples(50)
def test_sequential_batches_are_adjacent(shape: Shape) -> None:
    """Successive sequential batches are adjacent."""
    batches = batches_of("sequential", shape)
    for _ in range(3):
        epoch = epoch_of(batches)
        assert [batch.continues for batch in epoch] == [False] + [True] * (len(epoch) - 1)
        for one, following in pairwise(epoch):
            assert torch.equal(following.inputs[0], one.targets[-1])


@given(shape=shapes)
@examples(50)
def test_sequential_columns_waste_little(shape: Shape) -> None:
    """Sequential columns join to a segment of the text that wastes little."""
    batches = batches_of("sequential", shape)
    for _ in range(3):
        epoch = epoch_of(batches)
        assert all(len(batch.inputs) == shape.sequence_length for batch in epoch[:-1])
        assert all(batch.inputs.shape[1] == shape.batch_size for batch in epoch)
        joined = [place for column in columns(epoch) for place in column]
        assert joined == list(range(joined[0], joined[0] + len(joined)))
        assert joined[0] < max(shape.sequence_length, shape.batch_size)
        left_over = shape.length - 1 - (joined[-1] + 1)
        assert left_over < shape.batch_size


# Shuffle


def test_a_shuffle_is_a_permutation_of_any_size() -> None:
    for size in [*range(1, 260), *range(260, 2001, 15), 1023, 1024, 1025, 2000]:
        permuted = Shuffle(size, np.random.default_rng(size))(np.arange(size))
        assert sorted(permuted.tolist()) == list(range(size))


@given(
    size=st.integers(1, 300) | st.integers(1, 2**40),
    seed=st.integers(0, 2**32),
    places=st.lists(st.integers(0), min_size=1, max_size=40),
)
@settings(deadline=None)
def test_a_place_alone_is_permuted_alike(size: int, seed: int, places: list[int]) -> None:
    """A place is permuted alike whichever are asked with it."""
    shuffle = Shuffle(size, np.random.default_rng(seed))
    places = sorted({place % size for place in places})
    together = shuffle(np.array(places)).tolist()
    assert [int(shuffle(np.array([place]))[0]) for place in places] == together
    assert len(set(together)) == len(places)
    assert all(0 <= value < size for value in together)


NUM_SHUFFLES = 1500


@cache
def permutations_of(size: int) -> list[tuple[int, ...]]:
    """Draw many permutations, with a fixed seed."""
    random = np.random.default_rng(2002)
    places = np.arange(size)
    return [tuple(Shuffle(size, random)(places).tolist()) for _ in range(NUM_SHUFFLES)]


def assert_uniform(counts: list[int], degrees_of_freedom: int) -> None:
    """Bound Pearson's χ² by six standard deviations above its mean."""
    expected = sum(counts) / len(counts)
    chi_square = sum((count - expected) ** 2 for count in counts) / expected
    assert chi_square < degrees_of_freedom + 6 * math.sqrt(2 * degrees_of_freedom)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_permutations_are_equally_frequent(size: int) -> None:
    """All permutations of a few places are about as frequent."""
    drawn = permutations_of(size)
    counts = [drawn.count(one) for one in permutations(range(size))]
    assert sum(counts) == NUM_SHUFFLES
    assert_uniform(counts, len(counts) - 1)


@pytest.mark.parametrize("size", [2, 3, 4, 5, 7, 16])
def test_values_are_equally_frequent(size: int) -> None:
    """Every value comes about as often to every place."""
    drawn = np.array(permutations_of(size))
    for place in range(size):
        counts = np.bincount(drawn[:, place], minlength=size).tolist()
        assert_uniform(counts, size - 1)


@pytest.mark.parametrize("size", [4, 5, 7, 16])
def test_neighbours_are_equally_frequent(size: int) -> None:
    """Every pair of values comes about as often to neighbouring places."""
    drawn = np.array(permutations_of(size))
    pairs = drawn[:, 0] * size + drawn[:, 1]
    counts = np.bincount(pairs, minlength=size * size).reshape(size, size)
    assert np.trace(counts) == 0
    off_diagonal = counts[~np.eye(size, dtype=bool)].tolist()
    assert_uniform(off_diagonal, len(off_diagonal) - 1)
