"""The curve of the validation loss, and the sentences beside scores."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.cli.curve import Point, draw
from charlm.cli.meaning import choice, memorisation_note, too_few, with_choice
from charlm.prediction.perplexity import Score

POINTS = st.lists(st.floats(0.5, 9), max_size=60).map(
    lambda values: [Point(10 * step, value) for step, value in enumerate(values, 1)]
)


@given(POINTS, st.booleans(), st.integers(1, 200))
def test_a_curve_fits_a_terminal(points: list[Point], has_blocks: bool, width: int) -> None:
    """At most a dozen lines that fit, without blanks at their ends."""
    lines = draw(points, "loss", has_blocks=has_blocks, width=width)
    assert len(lines) <= 12
    assert all(len(line) < min(width, 70) and line == line.rstrip() for line in lines)
    assert has_blocks or all(line.isascii() for line in lines)
    if lines:
        values = [point.value for point in points]
        assert lines[1].split(" ")[0] == f"{max(values):.2f}"  # a peak may be between columns
        assert lines[-2].startswith(f"{min(values):.2f} ")
        assert lines[-1].split() == ["10", "step", f"{10 * len(points):,}"]


@pytest.mark.parametrize(("has_blocks", "marks"), [(True, "▁▂▃▄▅▆▇█"), (False, ".:#")])
def test_a_falling_loss_falls_in_the_curve(has_blocks: bool, marks: str) -> None:
    """The heights of the columns fall with the loss, and each column has a mark."""
    points = [Point(step, 2 + math.exp(-step / 100)) for step in range(0, 500, 20)]
    rows = [line[5:].ljust(56) for line in draw(points, "loss", has_blocks=has_blocks)[1:-1]]
    heights = [
        sum(marks.index(mark) + 1 for mark in column if mark != " ")
        for column in zip(*rows, strict=True)
    ]
    assert len(heights) == 56
    assert heights == sorted(heights, reverse=True)
    assert heights[0] == len(rows) * len(marks) and heights[-1] > 0


def test_few_or_equal_points_are_no_curve() -> None:
    falling = [Point(step, 9.0 - step) for step in range(4)]
    assert draw(falling, "loss", has_blocks=True)
    assert draw(falling[:3], "loss", has_blocks=True) == []
    assert draw([Point(step, 2.0) for step in range(9)], "loss", has_blocks=True) == []


def test_a_perplexity_is_a_choice() -> None:
    assert choice(3.3021) == "as unsure as a choice among 3.3 characters"
    assert choice(944.3, "byte") == "as unsure as a choice among 944 bytes"
    assert choice(math.inf) == "as unsure as a choice among more than a million characters"


@pytest.mark.parametrize(
    ("value", "unknown", "words"),
    [
        (9.0, 0, "9.0, as unsure as a choice among 9.0 characters"),
        (28.0, 0, "28.0, as unsure as a choice among 28.0 characters"),
        (28.1, 0, "28.1"),
        (9.0, 66, "9.0"),
    ],
)
def test_some_perplexities_are_no_choice(value: float, unknown: int, words: str) -> None:
    """Beyond the 28 characters of the vocabulary there is no choice, nor with many unknown ones."""
    score = Score(nats=100 * math.log(value), characters=100, bytes=100, unknown_characters=unknown)
    assert with_choice(score, 1, "character", 28) == words


def test_few_characters_measure_nothing() -> None:
    assert too_few(14) == "14 characters are too few to measure"
    assert too_few(1, "byte") == "1 byte is too few to measure"
    assert too_few(1000) == ""


def test_a_text_learnt_by_heart_is_told() -> None:
    said = "memorised: 1.4 on its training text, 944 on other text"
    assert memorisation_note(math.log(1.4), math.log(944)) == said
    assert memorisation_note(math.log(2.0), math.log(3.9)) == ""
    assert memorisation_note(None, 1.0) == memorisation_note(1.0, None) == ""


def test_the_ends_of_a_curve_have_names() -> None:
    """A curve over something else than steps says over what."""
    points = [Point(step, 9 - step) for step in range(9)]
    assert draw(points, "loss", has_blocks=True, ends=("1", "1,024"))[-1].split() == ["1", "1,024"]
