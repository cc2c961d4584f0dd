"""Scores of several runs: which are comparable, and their spread over seeds."""

import math
import statistics
from dataclasses import replace
from pathlib import Path

from charlm.config.schema import Config
from charlm.corpus.corpus import Origin
from charlm.prediction.comparison import (
    ScoredRun,
    Spread,
    groups_by_seed,
    one_of_each_seed,
    why_not_comparable,
)
from charlm.prediction.perplexity import Score

SCORE = Score(200.0, 100, 100, 0, origin=Origin("digest", 50), method="exact")
RUN = ScoredRun(Path("run"), "novel.txt", Config(), "fingerprint", 1_000, 20, SCORE)


def with_keys(**sections: object) -> ScoredRun:
    return replace(RUN, config=Config().replace(**sections))


def test_the_spread_is_the_samples() -> None:
    """The deviation is that of a sample, with n − 1, and nan beside an infinite perplexity."""
    figures = [2.867, 2.810, 2.828]
    spread = Spread.of(figures)
    assert math.isclose(spread.mean, sum(figures) / 3)
    assert math.isclose(spread.deviation, statistics.stdev(figures))
    assert math.isnan(Spread.of([1.0, math.inf]).deviation)


def test_runs_of_other_seeds_are_a_group() -> None:
    """Seed, paths and settings of generation do not separate runs; other settings and texts do."""
    seeds = [with_keys(training={"seed": seed}) for seed in (3, 4)]
    moved = with_keys(corpus={"paths": ("a.txt",), "builtin": None}, generation={"length": 7})
    larger = with_keys(model={"hidden_size": 512})
    other_text = replace(RUN, fingerprint="another")
    groups = groups_by_seed([RUN, larger, *seeds, other_text, moved])
    assert groups == [[RUN, *seeds, moved], [larger], [other_text]]


def test_other_characters_are_another_group() -> None:
    """Runs that were not scored on the same characters, or not alike, have no common mean."""
    scores = [replace(SCORE, characters=99), replace(SCORE, method="approximate")]
    runs = [RUN, *(replace(RUN, score=score) for score in scores)]
    assert [len(group) for group in groups_by_seed(runs)] == [1, 1, 1]


def test_a_seed_counts_once() -> None:
    """A repetition with the same seed is left out of the mean."""
    other = with_keys(training={"seed": 1})
    assert one_of_each_seed([RUN, RUN, other, RUN]) == [RUN, other]


def test_comparable_scores_are_of_one_text() -> None:
    """Digest, range and method must be the same; names, precision and caveats need not."""
    noted = replace(SCORE, protocol="exact; biased score", nats=100.0, bytes=150)
    assert why_not_comparable([SCORE, noted]) == ""
    for changes, word in (
        ({"origin": Origin("other", 50)}, "different texts"),
        ({"origin": Origin("digest", 49)}, "different characters"),
        ({"characters": 99}, "different characters"),
        ({"method": "approximate"}, "different protocols"),
    ):
        assert word in why_not_comparable([SCORE, replace(SCORE, **changes)])
