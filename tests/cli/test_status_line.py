"""The line of progress: fields, bar, speed and the time left."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from charlm.cli.pace import Pace
from charlm.cli.status_line import Field, bar, join_fitting
from charlm.formatting import short_count

FIELDS = st.lists(
    st.builds(Field, st.text(st.sampled_from("ab1雨é"), max_size=15), st.integers(0, 5)), max_size=8
)


@given(FIELDS, st.integers(0, 120))
def test_fields_are_whole_or_absent(fields: list[Field], width: int) -> None:
    """A line consists of whole fields in their order, fits, and has no blanks at its ends."""
    line = join_fitting(fields, width)
    assert line == line.strip()
    assert cell_len(line) <= width
    rest = iter(field.text for field in fields)
    assert all(text in rest for text in line.split("  ") if text)


@given(FIELDS)
def test_a_field_yields_to_lower_ranks(fields: list[Field]) -> None:
    """A narrower line loses fields; one of the lowest rank stays as long as it fits alone."""
    texts = [field.text for field in fields if field.text]
    assert join_fitting(fields, None) == "  ".join(texts)
    if texts:
        lowest = min((field for field in fields if field.text), key=lambda field: field.rank)
        assert lowest.text in join_fitting(fields, cell_len(lowest.text))


@pytest.mark.parametrize("has_blocks", [True, False])
def test_a_bar_has_20_to_30_cells(has_blocks: bool) -> None:
    """At every width; it is empty at the start and full at the end, and never shrinks."""
    full = "█" if has_blocks else "#"
    for width in range(401):
        bars = [bar(step / 50, width, has_blocks=has_blocks) for step in range(-1, 60)]
        assert {len(one) for one in bars} <= set(range(20, 31))
        filled = [one.count(full) for one in bars]
        assert filled == sorted(filled)
        assert (filled[0], filled[-1]) == (0, len(bars[0]))
        assert has_blocks or all(one.isascii() for one in bars)


@example([1.0, 1.0], 0.0, 50.0, 10.0)
@given(
    st.lists(st.floats(0.01, 20), min_size=1, max_size=40),
    st.floats(0, 0.5),
    st.floats(50, 1000),
    st.floats(10, 1e6),
)
def test_steady_training_has_one_pace(
    steps: list[float], progress: float, whole: float, rate: float
) -> None:
    """At a constant speed, rate and time left are exact, however long the steps, resumed or not."""
    elapsed = progress * whole
    pace = Pace(progress, elapsed)
    for seconds in steps:
        elapsed += seconds
        pace.add(1, 1 / rate, elapsed / whole, elapsed)
        left = pace.seconds_left
        assert left is None or left == pytest.approx(max(0, whole - elapsed), abs=1e-6 * whole)
        assert pace.rate == pytest.approx(rate)
    assert pace.seconds_left is not None or elapsed < 2


def test_time_left_is_known_after_a_resume() -> None:
    """A quarter took 60 seconds, so three quarters take 180; a new run knows nothing yet."""
    assert Pace(0.25, 60.0).seconds_left == pytest.approx(180)
    assert Pace().seconds_left is None
    assert Pace().rate is None


def test_the_rate_does_not_flicker() -> None:
    """Steps whose speeds differ by a factor of four change the rate by less than a tenth."""
    pace, rates = Pace(), []
    for step in range(400):
        pace.add(2000, 0.1 if step % 2 else 0.025, step / 400, 0.0625 * step)
        rates.append(pace.rate or 0.0)
    settled = rates[100:]
    assert max(settled) < 1.1 * min(settled)


def test_the_pace_survives_a_rollback() -> None:
    """Progress that is lost leaves the speed of progress as it was."""
    pace = Pace(0.5, 100.0)
    pace.add(1, 1.0, 0.3, 101.0)
    assert pace.seconds_left == pytest.approx(0.7 * 200)


def test_short_counts_have_few_digits() -> None:
    values = [850.4, 8_240.0, 81_616.0, 999_400.0, 1_234_567.0, 9_960.0, 0.2]
    texts = ["850", "8.2k", "82k", "999k", "1.2M", "10k", "0"]
    assert list(map(short_count, values)) == texts
