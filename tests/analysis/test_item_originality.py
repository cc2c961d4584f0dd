"""Shares of items, as the MOSES benchmark defines them, and the nearest training items."""

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.analysis import item_originality as module
from charlm.analysis.item_originality import ItemOriginality, _compare, _nearest
from charlm.analysis.item_verdict import ItemShares
from charlm.cli.item_originality import show_item_originality

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


REAL = ItemShares("test split", 1000, None, 0.9, 1.0, 1.0)


@pytest.mark.parametrize(
    ("shares", "verdict"),
    [
        ({"new": 0.434, "median_distance": 0.0}, "much is copied: 56.6% of the different items"),
        ({"new": 0.9}, "some is copied: 10.0% of"),
        ({"new": 0.99}, "original: 1.0% of"),
        (
            {"median_distance": 0.0},
            "are nearer to training items than real items are (median edit",
        ),
        ({"median_distance": 1.0}, "are no nearer to training items"),
        ({"unique": 0.3}, "only 30% are different, of real items 90%"),
        ({"items": 99}, "; 99 items say little"),
        ({"new": None}, "no valid item to compare"),
    ],
)
def test_a_verdict_says_what_the_shares_show(shares: dict[str, float], verdict: str) -> None:
    items = dataclasses.replace(REAL, name="generated items", **shares)  # type: ignore[arg-type]
    result = ItemOriginality(items, REAL, (), {})
    assert verdict in result.verdict == result.to_json()["verdict"]
    assert "real" not in ItemOriginality(items, None, (), {}).verdict


def test_the_verdict_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    """For items of a file, too, which have no seed."""
    result = ItemOriginality(REAL, None, (), {})
    show_item_originality(result)
    assert f"verdict  {result.verdict}" in capfd.readouterr().out


@given(words, words.filter(bool))
def test_nearest_items_are_the_nearest(items: list[str], known: list[str]) -> None:
    for found in _nearest(items, known):
        least = min(distance(found.text, one) for one in known)
        assert found.distance == distance(found.text, found.nearest) == least


def test_long_searches_take_fewer_items() -> None:
    items = ["a" * 1000] * 200
    assert len(_nearest(items, ["b" * 1000] * 20)) == 26
    assert len(_nearest(items, ["b"])) == module._MOST_COMPARED
