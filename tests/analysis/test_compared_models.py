"""A comparison names what else the models differ in, and what biases their scores."""

from dataclasses import replace

import pytest

from charlm.analysis.block_bootstrap import Interval
from charlm.analysis.compared import Compared, Comparison
from charlm.analysis.compared_models import ComparedModel, further_differences
from charlm.config.schema import Config
from charlm.corpus.overlaps import Overlap
from charlm.corpus.provenance import Use
from charlm.prediction.perplexity import Score

MODEL = ComparedModel(15_111, 150, 0, "one", Config())
SCORE = Score(100.0, 200, 200, 0)


def differing(**facts: object) -> str:
    return further_differences({"a": [MODEL], "b": [replace(MODEL, **facts)]})  # type: ignore[arg-type]


def test_each_fact_that_differs_is_named() -> None:
    assert differing() == ""
    assert "parameters (a 15,111, b 7,791)" in differing(parameters=7791)
    assert "steps (a 150, b 60)" in differing(step=60)
    assert "counted for n-grams (a 0, b 270,000)" in differing(counted=270_000)
    assert "training text" in differing(fingerprint="other")
    found = differing(config=Config().replace(model={"hidden_size": 17, "cell": "gru"}))
    assert found == "the runs also differ in settings: model.cell, model.hidden_size"


def test_what_changes_no_score_is_left_out() -> None:
    """The seed, what may change on resuming, and how the model generates."""
    config = Config().replace(
        training={"seed": 9, "steps": 7, "report": False}, generation={"temperature": 0.3}
    )
    assert differing(config=config) == ""
    assert differing(step=None) == ""


def test_a_group_has_its_range() -> None:
    group = [replace(MODEL, step=number) for number in (150, 90, 120)]
    assert "steps (a 150, b 90 to 150)" in further_differences({"a": [MODEL], "b": group})


@pytest.mark.parametrize("use", ["learnt from", "chosen on", "fitted on"])
def test_a_verdict_names_what_biases_it(use: Use) -> None:
    """Of either model, whether or not it says that one predicts better."""
    seen = replace(SCORE, overlaps=(Overlap("novel.txt", use, "", 1.0, None, False),))
    shown, hidden = Interval(-0.2, -0.1), Interval(-0.2, 0.1)
    for scores, names in (
        ((seen, SCORE), "score of a is"),
        ((SCORE, seen), "score of b is"),
        ((seen, seen), "scores of a and b are"),
    ):
        first, other = (
            Compared(name, (1.0,), scores=(one,)) for name, one in zip("ab", scores, strict=True)
        )
        for interval in (shown, hidden):
            verdict = Comparison("character", "", 200, (first, replace(other, interval=interval)))
            assert f"; the {names} biased: the " in verdict.verdicts[0]
            assert "(novel.txt)" in verdict.verdicts[0]


def test_unbiased_scores_are_not_called_biased() -> None:
    """Also where a text repeats itself a little."""
    repeated = Overlap("novel.txt", "learnt from", "", 0.17, 200, True)
    first = Compared("a", (1.0,), scores=(replace(SCORE, overlaps=(repeated,)),))
    other = Compared("b", (1.0,), interval=Interval(0.1, 0.2), scores=(SCORE,))
    assert "biased" not in Comparison("character", "", 200, (first, other)).verdicts[0]
