"""The two samplings as a student reads them: what the drawings show is what the functions do."""

import inspect
from collections.abc import Callable

import numpy as np
import pytest

from charlm.corpus import sampling
from charlm.corpus.batches import RandomBatches, SequentialBatches
from charlm.corpus.sampling import Cut, Segments, random_sampling, sequential_sampling

TEXT = "_abcdefghijklm"
CUT = Cut(len(TEXT), offset=1, batch_size=2, sequence_length=3)
ORDER = np.array([2, 0, 3, 1])


def random_segments(number: int) -> Segments:
    return random_sampling(CUT, lambda places: ORDER[places], number)


def sequential_segments(number: int) -> Segments:
    return sequential_sampling(CUT, number)


def drawing(segments_of: Callable[[int], Segments]) -> str:
    """Two batches, one under the other, as the docstrings draw them."""
    ids = np.arange(len(TEXT))
    lines = []
    for number in range(2):
        rows = sampling.read_segments(ids, segments_of(number))
        for time, row in enumerate(rows[:-1]):  # the inputs
            label = f"batch {number}" if time == 0 else ""
            lines.append(f"{label:<11}" + " ".join(TEXT[place] for place in row))
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("function", "segments_of"),
    [(random_sampling, random_segments), (sequential_sampling, sequential_segments)],
    ids=["random", "sequential"],
)
def test_the_drawing_is_right(
    function: Callable[..., Segments], segments_of: Callable[[int], Segments]
) -> None:
    """The drawing in a docstring shows the batches that the function returns."""
    documented = inspect.getdoc(function) or ""
    drawn = inspect.cleandoc(documented[documented.index("batch 0") :].replace("\n    ", "\n"))
    assert drawn == drawing(segments_of)
    assert " ".join(TEXT) in documented


def test_targets_are_one_character_later() -> None:
    """The last row of the segments is the last target."""
    ids = np.arange(len(TEXT))
    rows = sampling.read_segments(ids, sequential_segments(1))
    assert (rows[1:] == rows[:-1] + 1).all()
    assert TEXT[rows[-1, -1]] == "m"


def test_iterators_use_the_samplings() -> None:
    """Without an offset, an epoch has the segments of the two functions."""
    ids = np.arange(29)
    cut = Cut(len(ids), offset=0, batch_size=2, sequence_length=6)
    sequential = SequentialBatches(ids, 2, 6, seed=0, random_offset=False)
    for number in range(3):
        expected = sampling.read_segments(ids, sequential_sampling(cut, number))
        assert next(sequential).inputs.tolist() == expected[:-1].tolist()
    windows = [random_sampling(cut, lambda places: places, number) for number in range(2)]
    expected_starts = [start for segments in windows for start in segments.starts]
    batches = RandomBatches(ids, 2, 6, seed=0, random_offset=False)
    starts = [start for _ in range(2) for start in next(batches).inputs[0].tolist()]
    assert sorted(starts) == expected_starts == [0, 6, 12, 18]
