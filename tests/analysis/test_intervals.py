"""Intervals of a score: around each figure, for characters, bytes and unknown characters."""

import math
import tracemalloc

import numpy as np
import pytest
from support.scoring import a_split, make_model, random_ids

from charlm.analysis.block_bootstrap import FEWEST_RECORDS, Resampling
from charlm.analysis.intervals import bytes_and_bits, score_intervals
from charlm.corpus.corpus import Split
from charlm.corpus.vocabulary import UNKNOWN_TYPE
from charlm.prediction.perplexity import Score
from charlm.prediction.scoring import nats_of_each, score_of_nats


def test_each_figure_lies_in_its_interval() -> None:
    """Also with unknown characters and characters of several bytes."""
    model, ids = make_model(), random_ids(2000)
    sizes = np.array([0, 1, 1, 3, 2, *[1] * 6], np.uint8)
    unknown = np.array([(place, ord("你")) for place in np.flatnonzero(ids == 0)], UNKNOWN_TYPE)
    split = Split(ids, sizes, unknown)
    nats = nats_of_each(model, ids)
    score = score_of_nats(model, split, nats)
    intervals, lack = score_intervals(score, nats, split)
    assert intervals is not None
    assert lack == ""
    found = intervals.to_json()
    for name in ("nats_per_character", "perplexity", "bits_per_character", "bits_per_byte"):
        low, high = found[name]
        assert low < getattr(score, name) < high
    assert found["level"] == 0.95
    assert found["block_length"] >= 1
    low, high = intervals.nats_per_character
    assert found["perplexity"] == pytest.approx([math.exp(low), math.exp(high)])
    byte_sizes, bits = bytes_and_bits(nats, split)
    assert byte_sizes.sum() == score.bytes
    assert bits.sum(dtype=np.float64) / byte_sizes.sum() == pytest.approx(score.bits_per_byte)


@pytest.mark.parametrize("size", [2, 60])
def test_a_short_text_has_no_interval(size: int) -> None:
    model, split = make_model(), a_split(random_ids(size))
    nats = nats_of_each(model, split.ids)
    intervals, lack = score_intervals(score_of_nats(model, split, nats), nats, split)
    assert intervals is None
    assert lack.startswith("too short for an interval")


def test_no_end_of_a_loss_is_negative() -> None:
    """A text that is predicted almost surely has a perplexity of at least 1, at both ends."""
    split = a_split(random_ids(301))
    nats = np.zeros(300, np.float32)
    nats[[50, 200]] = 3.0
    intervals, _ = score_intervals(Score(6.0, 300, 300, 0), nats, split)
    assert intervals is not None
    assert intervals.nats_per_character.low == intervals.bits_per_byte.low == 0
    assert intervals.perplexity.low == 1


def test_intervals_take_18_bytes_a_character() -> None:
    """Beside the text and its nats; they are the same from half as many bytes of nats."""
    ids, size = random_ids(2_000_000), 2_000_000
    split = a_split(ids)
    nats = np.random.default_rng(0).exponential(size=size - 1).astype(np.float32)
    score = Score(float(nats.sum(dtype=np.float64)), size - 1, size - 1, 0)
    tracemalloc.start()
    intervals, _ = score_intervals(score, nats, split)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 18 * size
    whole, _ = score_intervals(score, nats.astype(np.float64), split)
    assert intervals is not None and whole is not None
    assert intervals.bits_per_byte == pytest.approx(whole.bits_per_byte, rel=1e-6)


def test_an_infinite_perplexity_is_null() -> None:
    model, split = make_model(), a_split(random_ids(150))
    nats = np.random.default_rng(0).uniform(900, 1000, 149)
    intervals, _ = score_intervals(score_of_nats(model, split, nats), nats, split)
    assert intervals is not None
    assert intervals.to_json()["perplexity"] == [None, None]


@pytest.mark.parametrize("number", [FEWEST_RECORDS, 60])
def test_records_cover_the_mean(number: int) -> None:
    """Records of different lengths: in about 5 % of lists the mean is outside; fewer have none."""
    random, outside = np.random.default_rng(number), 0
    for _ in range(300):
        lengths = random.integers(2, 12, number)
        means = random.gamma(2, size=number) * lengths
        resampling = Resampling.of_records(number)
        sums, sizes = resampling.means(means, lengths)
        low, high = resampling.interval(means.sum() / lengths.sum(), sums / sizes)
        outside += not low <= 2 <= high
    assert 0.02 <= outside / 300 <= 0.085
    assert "20 records" in Resampling.of_records(FEWEST_RECORDS - 1).lack
