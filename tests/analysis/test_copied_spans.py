"""The spans of a text that stand in a sorted training text, against a plain search."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from charlm.analysis.copied_spans import CopiedSpans
from charlm.analysis.copy_marker import TextIndex

UNKNOWN = 0
ids = st.lists(st.integers(UNKNOWN, 3), max_size=60)


def plainly(training: list[int], query: list[int], least: int) -> set[int]:
    """Return the places of the query within a window that stands in the training text."""

    def stands(window: list[int]) -> bool:
        starts = range(len(training) - least + 1)
        is_known = UNKNOWN not in window
        return is_known and any(training[at : at + least] == window for at in starts)

    starts = (at for at in range(len(query) - least + 1) if stands(query[at : at + least]))
    return {place for start in starts for place in range(start, start + least)}


@given(ids, ids, st.integers(1, 8))
def test_spans_are_those_of_a_plain_search(
    training: list[int], query: list[int], least: int
) -> None:
    """The spans cover what a plain search finds, and neither touch nor overlap."""
    index = TextIndex(np.array(training, np.uint32), UNKNOWN)
    spans = CopiedSpans(index, np.array(query, np.uint32), least)
    for _ in spans.steps():
        pass
    found = spans.found
    assert {at for start, end in found for at in range(start, end)} == plainly(
        training, query, least
    )
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(found))


def test_search_yields_in_between() -> None:
    """A long search gives others their turn."""
    rng = np.random.default_rng(1)
    index = TextIndex(rng.integers(1, 30, 5_000).astype(np.uint32), UNKNOWN)
    spans = CopiedSpans(index, rng.integers(1, 30, 20_000).astype(np.uint32), 30)
    assert len(list(spans.steps())) >= 5
    assert spans.found == []
