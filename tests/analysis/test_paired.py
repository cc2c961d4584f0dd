"""Comparisons of models: paired, on the same characters, and seldom wrong where nothing differs."""

import json
import math
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.training import TINY

import charlm
from charlm.analysis.block_bootstrap import Interval
from charlm.analysis.compared import Compared, Comparison, student_quantile
from charlm.analysis.comparison import CharacterBits, compare, compare_bits
from charlm.errors import CorpusError
from charlm.prediction.perplexity import Score
from charlm.prediction.predictor import Predictor


def bits_of(bits: np.ndarray, text: str | None = None, unit: str = "character") -> CharacterBits:
    """Return bits of a text of one-byte characters, all known."""
    number = len(bits)
    score = Score(float(bits.sum()) * math.log(2), number, number, 0)
    ones, known = np.ones(number), np.zeros(number, bool)
    return CharacterBits(bits, ones, known, text or "a" * number, unit, score)


def pair_of_equals(size: int, correlation: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the bits of two models that are equally good, on a text with hard passages.

    Both find the same characters hard, and differ by correlated noise of mean 0.
    """
    random = np.random.default_rng(seed)
    noise = random.exponential(size=(4, size + 100)) - 1
    for place in range(1, size + 100):
        noise[:3, place] += correlation * noise[:3, place - 1]
    text, one, other, _ = noise[:, 100:]
    hard = 3 * np.abs(text) + noise[3, 100:]
    return hard + 0.5 * one, hard + 0.5 * other


@pytest.mark.parametrize("correlation", [0.0, 0.4, 0.7])
def test_equal_models_seldom_differ(correlation: float) -> None:
    """At 95 %, one time in 20; also where the text and the differences are correlated."""
    tries, false, backward, unsure = 200, 0, 0, 0
    for seed in range(tries):
        one, other = pair_of_equals(1500, correlation, seed)
        comparison = compare_bits({"a": [bits_of(one)], "b": [bits_of(other)]})
        if (interval := comparison.compared[1].interval) is None:
            unsure += 1
            assert "too short for an interval" in comparison.verdicts[0]
            continue
        false += 0.0 not in interval
        backward += "no difference shown" not in comparison.verdicts[0]
    assert 0.01 <= false / tries <= 0.085
    assert backward == false
    assert unsure / tries < 0.05


def test_pairs_show_small_differences() -> None:
    """A difference that is far smaller than the interval of each score is shown."""
    one, other = pair_of_equals(4000, 0.4, 0)
    better = one - 0.1 + 0.05 * (other - one)
    comparison = compare_bits({"old": [bits_of(one)], "new": [bits_of(better)]})
    row = comparison.compared[1]
    assert row.interval is not None
    assert row.interval.high < 0
    assert row.difference == pytest.approx((better - one).mean())
    (words,) = comparison.verdicts
    assert words.startswith("new predicts this text better than old, by 0.")
    assert "other seeds may differ" in words
    assert words in repr(comparison)
    assert "new predicts" in comparison._repr_html_()
    json.dumps(comparison.to_json(), allow_nan=False)


def test_groups_compare_means_of_seeds() -> None:
    """Their spread is printed, and the verdict says whether it explains the difference."""
    random = np.random.default_rng(0)
    base = random.exponential(size=3000) * 2

    def group(*shifts: float) -> list[CharacterBits]:
        return [bits_of(base + shift + 0.01 * random.normal(size=3000)) for shift in shifts]

    groups = {"a": group(0.0, 0.1), "b": group(-0.05, 0.1), "c": group(-1.0, -0.9)}
    comparison = compare_bits(groups)
    _, b, c = comparison.compared
    assert b.difference == pytest.approx(-0.025, abs=0.01)
    assert b.deviation == pytest.approx(0.15 / math.sqrt(2), abs=0.01)
    assert "no more than seeds explain" in comparison.verdict(b)
    assert "; more than seeds explain" in comparison.verdict(c)


@pytest.mark.parametrize("sizes", [(2, 2), (3, 1), (4, 4)])
def test_seeds_explain_equal_groups(sizes: tuple[int, int]) -> None:
    """Of groups that differ by chance, few are said to differ more; a single run varies as well."""
    random = np.random.default_rng(0)
    sure = Interval(0.1, 0.2)

    def said_to_differ() -> bool:
        first, second = (tuple(random.normal(size=number).tolist()) for number in sizes)
        one = Compared("b", second, statistics.fmean(second) - statistics.fmean(first), sure)
        verdict = Comparison("character", "", 500, (Compared("a", first), one)).verdict(one)
        return "; more than seeds explain" in verdict

    assert 0.03 <= np.mean([said_to_differ() for _ in range(1000)]) <= 0.07


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.706), (3, 3.182), (4, 2.776), (8, 2.306), (30, 2.042)]
)
def test_quantiles_are_those_of_tables(freedom: int, quantile: float) -> None:
    assert student_quantile(freedom) == pytest.approx(quantile, rel=3e-3)


def test_records_are_drawn_whole() -> None:
    """As for their scores: the interval is that of records, and depends on no order of them."""
    random = np.random.default_rng(0)
    lengths = random.integers(2, 9, 80)
    ends = np.cumsum(lengths)
    hard = np.repeat(random.exponential(size=80), lengths)

    def compared(order: np.ndarray) -> Comparison:
        chosen = np.concatenate([np.arange(ends[one] - lengths[one], ends[one]) for one in order])
        begins = np.append(0, np.cumsum(lengths[order])[:-1])
        one, other = (replace(bits_of(bits[chosen]), records=begins) for bits in (hard, 1.5 * hard))
        return compare_bits({"a": [one], "b": [other]})

    found, sorted_ = compared(np.arange(80)), compared(np.argsort(hard[ends - 1]))
    assert found.records == 80
    assert found.to_json()["method"] == "bootstrap of records, paired"
    first, second = (one.compared[1].interval for one in (found, sorted_))
    assert first is not None and second is not None
    assert first == pytest.approx(second, rel=0.1)


def test_other_texts_are_refused() -> None:
    """By length and by content; one contender alone, too."""
    one = bits_of(np.ones(9), "abcdefghi")
    for other in (bits_of(np.ones(8), "abcdefgh"), bits_of(np.ones(9), "abcdefghx")):
        with pytest.raises(CorpusError, match=r"a and b are scored on different texts.*--text"):
            compare_bits({"a": [one], "b": [other]})
    with pytest.raises(CorpusError, match="needs two"):
        compare_bits({"a": [one]})


def test_one_character_tells_nothing() -> None:
    one, other = bits_of(np.ones(1)), bits_of(np.zeros(1))
    comparison = compare_bits({"a": [one], "b": [other]})
    (words,) = comparison.verdicts
    assert words.startswith("b and a: -1.0000 bits per character, on a text that is too short")
    assert comparison.compared[1].interval is None


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Predictor]:
    """A model of characters, one of bytes, and one that knows fewer characters."""
    folder = tmp_path_factory.mktemp("models")
    text, plain = folder / "text.txt", folder / "plain.txt"
    text.write_text("a bad café\n" * 99, "utf-8")
    plain.write_text("a bad cafe\n" * 99, "utf-8")

    def trained(path: Path, *settings: str) -> Predictor:
        settings = (*TINY, "training.steps=2", *settings)
        return charlm.load(
            charlm.train("quickstart", text=path, runs=folder, settings=settings).run
        )

    return {
        "characters": trained(text),
        "seed 1": trained(text, "training.seed=1"),
        "bytes": trained(text, "corpus.unit=byte"),
        "plain": trained(plain),
    }


@pytest.fixture
def other(tmp_path: Path) -> Path:
    path = tmp_path / "other.txt"
    words = np.random.default_rng(0).choice(["éa ", "bad ", "café, ", "é\n"], size=150)
    path.write_text("".join(words), "utf-8")
    return path


def test_figures_are_those_of_evaluate(models: dict[str, Predictor], other: Path) -> None:
    pair = {name: models[name] for name in ("characters", "seed 1")}
    comparison = compare(pair, text=other)
    assert comparison.unit == "character"
    for row, model in zip(comparison.compared, pair.values(), strict=True):
        score = charlm.evaluate(model, text=other)
        assert row.figures == pytest.approx((score.bits_per_character,), rel=1e-6)
        assert row.scores == (score,)


@pytest.mark.parametrize("name", ["bytes", "plain"])
def test_other_units_compare_bits_per_byte(
    models: dict[str, Predictor], other: Path, name: str
) -> None:
    """Models of characters and of bytes, and models that know different characters."""
    comparison = compare({"a": models["characters"], "b": models[name]}, text=other)
    assert comparison.unit == "byte"
    assert comparison.reason
    row = comparison.compared[1]
    score = charlm.evaluate(models[name], text=other)
    assert row.figures == pytest.approx((score.bits_per_byte,), rel=0.02)  # but the first character
    assert row.interval is not None


def test_splits_of_other_texts_are_refused(models: dict[str, Predictor]) -> None:
    with pytest.raises(CorpusError, match="different texts"):
        compare({"a": models["characters"], "b": models["plain"]})
