"""The text of an epoch of records: all of them, in an order that seed and epoch decide."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import examples

from charlm.config.schema import BatchesConfig
from charlm.corpus.batch_iterator import Position
from charlm.corpus.batches import make_batches
from charlm.corpus.record_order import in_new_order

BOUNDARY = 2


def _text(records: list[list[int]]) -> np.ndarray:
    return np.array([BOUNDARY, *(i for one in records for i in (*one, BOUNDARY))], np.uint8)


def _records(ids: np.ndarray) -> list[tuple[int, ...]]:
    """Return the whole records of ids that begin and end with a boundary."""
    assert ids[0] == ids[-1] == BOUNDARY
    return [
        tuple(one.tolist()[1:]) for one in np.split(ids[:-1], np.flatnonzero(ids[:-1] == 2)[1:])
    ]


@given(
    records=st.lists(st.lists(st.sampled_from([0, 1, 3]), min_size=1, max_size=5), min_size=1),
    seed=st.integers(0, 2**32),
)
@examples(50)
def test_an_order_keeps_all_records(records: list[list[int]], seed: int) -> None:
    """Every record is kept whole, once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("charlm.corpus.record_order._RECORDS_AT_ONCE", 3)
        ordered = in_new_order(_text(records), BOUNDARY, np.random.default_rng(seed))
    assert Counter(_records(ordered)) == Counter(map(tuple, records))


@pytest.mark.parametrize("sampling", ["random", "sequential"])
def test_each_epoch_has_its_own_order(sampling: str) -> None:
    """Epochs read the same records in other orders, and are resumed at any batch."""
    records = [[0] * (n % 4 + 1) + [3] * (n // 4 + 1) for n in range(40)]
    ids = _text(records)
    config = BatchesConfig.model_validate(
        {"sampling": sampling, "batch_size": 3, "sequence_length": 8, "random_offset": False}
    )
    batches = make_batches(ids, config, seed=5, boundary=BOUNDARY)
    texts, positions, read = [], [], []
    while batches.position.epoch < 3:
        if batches.position.batch == 0:
            texts.append(batches.ids.tolist())
        positions.append(batches.position)
        read.append(next(batches))
    assert len({*map(tuple, texts)}) == 3
    assert all(Counter(_records(np.array(one))) == Counter(map(tuple, records)) for one in texts)
    waste = 1 - sum(one.targets.numel() for one in read) / (3 * (len(ids) - 1))
    assert waste < 0.1
    for position, expected in zip(positions, read, strict=True):
        again = make_batches(ids, config, seed=5, boundary=BOUNDARY)
        again.restore(Position(*position))
        assert all(map(np.array_equal, next(again)[:2], expected[:2]))
