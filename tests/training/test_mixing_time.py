"""How an ensemble divides its time between counting, fitting weights and scores."""

import math
from pathlib import Path

import pytest

from charlm.config.schema import Config, CorpusConfig, EnsembleConfig, TrainingConfig
from charlm.corpus.builder import build_corpus
from charlm.corpus.corpus import Corpus
from charlm.training.mixing_time import MixingRates, kept_seconds, needed_seconds, plan_mixing

CONFIG = Config(training=TrainingConfig(report=False), ensemble=EnsembleConfig(ngram_order=7))


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    path = tmp_path / "text.txt"
    path.write_text("a rose is a rose\n" * 3000, encoding="utf-8")
    return build_corpus(CorpusConfig(paths=(str(path),)))


def seconds_of(rates: MixingRates, corpus: Corpus, seconds: float) -> tuple[float, float]:
    """The time that a plan gives to counting, and to fitting weights."""
    plan = plan_mixing(rates, CONFIG, corpus, seconds)
    return plan.counted / rates.counting, plan.fitted / rates.fitting


def test_counting_takes_at_most_half(corpus: Corpus) -> None:
    """What it does not need is left to the other work."""
    rest = {"fitting": 1000.0, "validating": 1000.0, "scoring": 1000.0}
    counting, fitting = seconds_of(MixingRates(counting=1000.0, **rest), corpus, 11.0)
    assert counting == pytest.approx(5.0)
    assert fitting == pytest.approx(1.0)
    counting, fitting = seconds_of(MixingRates(counting=1e6, **rest), corpus, 11.0)
    assert counting < 0.1
    assert fitting > 2.0


def test_more_is_kept_where_counting_takes_long(corpus: Corpus) -> None:
    rest = {"fitting": 10.0, "validating": 10.0, "scoring": 10.0}
    slow, fast = MixingRates(counting=100.0, **rest), MixingRates(counting=math.inf, **rest)
    assert kept_seconds(slow, CONFIG, corpus, 100.0) == pytest.approx(40.0)
    assert kept_seconds(fast, CONFIG, corpus, 100.0) == pytest.approx(30.0)
    assert kept_seconds(slow, CONFIG, corpus, 1e6) <= needed_seconds(slow, CONFIG, corpus)
