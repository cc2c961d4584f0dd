"""Shares of items, as the MOSES benchmark defines them, and the nearest training items."""

import re

from hypothesis import given
from hypothesis import strategies as st

from charlm.analysis import item_originality as module
from charlm.analysis.item_originality import _compare, _nearest

words = st.lists(st.text("ab", min_size=1, max_size=4), max_size=12)


def distance(one: str, other: str) -> int:
    """The edit distance, by its definition."""
    if not one or not other:
        return len(one) + len(other)
    return min(
        distance(one[1:], other) + 1,
        distance(one, other[1:]) + 1,
        distance(one[1:], other[1:]) + (one[0] != other[0]),
    )


def test_shares_are_nested() -> None:
    """Valid ones of all, different ones of these, new ones of these."""
    shares, nearest = _compare("x", ["a", "a", "b", "c", "dd", ""], ["b"], re.compile("."))
    assert (shares.items, shares.valid, shares.unique, shares.new) == (6, 4 / 6, 3 / 4, 2 / 3)
    assert [one.text for one in nearest] == ["a", "b", "c"]
    assert shares.median_distance == 1
    every, _ = _compare("x", ["a", "b"], ["b"], None)
    assert (every.valid, every.unique, every.new) == (None, 1, 1 / 2)
    nothing, _ = _compare("x", ["a"], ["b"], re.compile("z"))
    assert (nothing.valid, nothing.unique, nothing.new, nothing.median_distance) == (
        *(0, None, None),
        None,
    )


@given(words, words.filter(bool))
def test_nearest_items_are_the_nearest(items: list[str], known: list[str]) -> None:
    for found in _nearest(items, known):
        least = min(distance(found.text, one) for one in known)
        assert found.distance == distance(found.text, found.nearest) == least


def test_long_searches_take_fewer_items() -> None:
    items = ["a" * 1000] * 200
    assert len(_nearest(items, ["b" * 1000] * 20)) == 26
    assert len(_nearest(items, ["b"])) == module._MOST_COMPARED
