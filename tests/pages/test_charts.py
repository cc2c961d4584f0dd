"""Charts: their axes, the points that they keep, and SVG that is well formed and safe."""

import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.pages.charts import Chart, Level, Mark, Series
from charlm.pages.scales import Scale, decimate
from charlm.pages.svg import drawing, figure, image_file

NUMBERS = st.floats(-1e12, 1e12, allow_subnormal=False)


def chart(
    name: str = "loss", x: object = (1, 2, 3), y: object = (3, 2, 1), **more: object
) -> Chart:
    series = Series(name, np.array(x, np.float64), np.array(y, np.float64))
    options: dict[str, object] = {"title": "Loss", "x_label": "characters", "y_label": "bits"}
    return Chart("loss", series=(series,), **{**options, **more})  # type: ignore[arg-type]


@given(NUMBERS, NUMBERS, st.sampled_from(["number", "count", "seconds"]))
def test_ticks_lie_on_their_axis(one: float, other: float, kind: str) -> None:
    """Ticks ascend within the axis, there are some and not many, and no two have one label."""
    scale = Scale.of(np.array([one, other]), kind=kind, rounds=True)  # type: ignore[arg-type]
    ticks = scale.ticks
    assert 2 <= len(ticks) <= 11
    assert ticks == sorted({*ticks})
    slack = 1e-5 * (scale.high - scale.low)
    assert scale.low - slack <= ticks[0]
    assert ticks[-1] <= scale.high + slack
    assert scale.low <= min(one, other) + slack
    assert max(one, other) <= scale.high + slack


@given(st.floats(1e-6, 1e3), st.floats(1.5, 1e9))
def test_logarithmic_ticks_are_round(low: float, factor: float) -> None:
    """They are 1, 2 or 5 times a power of ten, unless there are too few of these."""
    scale = Scale.of(np.array([low, low * factor]), is_log=True)
    assert 3 <= len(scale.ticks) <= 12
    assert low * 0.9999 <= scale.ticks[0]
    assert scale.ticks[-1] <= low * factor * 1.0001
    for tick in scale.ticks if factor > 30 else ():
        mantissa = tick / 10 ** math.floor(math.log10(tick) + 1e-9)
        assert round(mantissa) in (1, 2, 5, 10)
        assert mantissa == pytest.approx(round(mantissa))


@pytest.mark.parametrize(
    ("kind", "value", "label"),
    [
        ("seconds", 30.0, "30 s"),
        ("seconds", 90.0, "1.5 min"),
        ("seconds", 7200.0, "2 h"),
        ("count", 1000.0, "1k"),
        ("count", 2.5e6, "2.5M"),
    ],
)
def test_ticks_have_units(kind: str, value: float, label: str) -> None:
    assert Scale(0.0, 2 * value, kind=kind).label(value) == label  # type: ignore[arg-type]


@given(st.integers(0, 2**32 - 1), st.integers(1, 5000), st.integers(2, 300))
def test_decimated_curves_keep_extremes(seed: int, size: int, columns: int) -> None:
    """The first, last, lowest and highest point of each column of pixels stay, and few others."""
    random = np.random.default_rng(seed)
    x, y = np.sort(random.random(size)), random.standard_normal(size)
    kept = decimate(x, y, columns)
    assert len(kept) <= max(4 * columns, size if size <= 2 * columns else 0)
    column = np.minimum((x * columns).astype(int), columns - 1)
    for number in np.unique(column):
        of_column, of_kept = y[column == number], y[kept][column[kept] == number]
        assert of_kept.min() == of_column.min()
        assert of_kept.max() == of_column.max()
        assert (of_kept[0], of_kept[-1]) == (of_column[0], of_column[-1])


def test_a_long_curve_is_a_small_drawing() -> None:
    x = np.arange(200_000.0)
    random = np.random.default_rng(0)
    assert len(drawing(chart(x=x, y=random.standard_normal(len(x))))) < 25_000


def test_names_cannot_leave_their_element() -> None:
    """Text from anywhere is text, in a page and in a file."""
    name = "</title></svg><script>alert(1)</script>\"' &amp;\0\ud800\u202e"
    evil = chart(
        name,
        title=name,
        x_label=name,
        y_label=name,
        levels=[Level(name, 2.0)],
        marks=[Mark(name, 2.0, name)],
    )
    for text in (drawing(evil), image_file(evil), figure(evil)):
        root = ET.fromstring(text)
        assert not [one for one in root.iter() if one.tag.endswith("script")]
        assert "<script" not in text


def test_a_drawing_describes_itself() -> None:
    """A screen reader gets a title and what the curves show, by unique identifiers."""
    root = ET.fromstring(drawing(chart("validation", levels=[Level("uniform", 6.5)])))
    assert root.get("role") == "img"
    names = str(root.get("aria-labelledby")).split()
    texts = {one.get("id"): one.text for one in root}
    assert texts[names[0]] == "Loss"
    for words in ("bits against characters", "validation: 3 at 1, 1 at 3", "uniform: 6.5"):
        assert words in str(texts[names[1]])


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ((), ()),
        ((1,), (2,)),
        ((1, 1), (5, 5)),
        ((1, 2, 3), (math.nan, 1, math.inf)),
        ((0, 0), (0, 0)),
    ],
)
@pytest.mark.parametrize("is_log", [False, True])
def test_odd_curves_have_finite_coordinates(x: object, y: object, is_log: bool) -> None:
    """One point, equal points, and numbers that are none; without a point there is no chart."""
    odd = chart(x=x, y=y, log_x=is_log, log_y=is_log)
    if not odd.is_empty:
        assert not re.search(r"nan|inf", drawing(odd).lower().replace("points", ""))
        ET.fromstring(image_file(odd))


def test_text_of_a_page_is_not_scaled() -> None:
    """Only curves, whose lines keep their width, are inside a `viewBox`."""
    root = ET.fromstring(drawing(chart()))
    assert root.get("viewBox") is None
    inner = [one for one in root if one.tag == "svg"]
    assert [part.tag for one in inner for part in one] == ["path"]
    assert inner[0][0].get("vector-effect") == "non-scaling-stroke"
