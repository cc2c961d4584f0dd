"""Text that is scored character by character: the bits add up to what `evaluate` counts."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from support.generation import make_predictor
from support.training import TINY

import charlm
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import CorpusError, DivergenceError
from charlm.prediction.predictor import Predictor

TEXTS = ("abc", "\r\nhead\r\ncafé\r\n", "a日本b", "日a")


@pytest.fixture(scope="module", params=["character", "byte"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = tmp_path_factory.mktemp("trained")
    path = folder / "text.txt"
    path.write_text("a bad café\n" * 99, "utf-8")
    settings = [*TINY, "training.steps=2", f"corpus.unit={request.param}"]
    run = charlm.train("quickstart", text=path, runs=folder, settings=settings).folder.path
    return charlm.load(run)


@pytest.mark.filterwarnings("ignore::charlm.errors.CorpusWarning")  # of the newlines
@pytest.mark.parametrize("text", TEXTS)
def test_bits_add_up_to_the_nats_of_evaluate(trained: Predictor, text: str, tmp_path: Path) -> None:
    """Also with unknown characters, other newlines, and characters of several bytes."""
    path = tmp_path / "other.txt"
    path.write_text(text, "utf-8", newline="")
    scored = charlm.score_text(trained, text)
    whole = charlm.evaluate(trained, text=path)
    assert sum(scored.bits) * math.log(2) == pytest.approx(whole.nats, rel=1e-9)
    assert len(scored) == len(scored.bits) == len(scored.text)
    if trained.vocabulary.unit == "character":
        assert scored.bits_per_character == pytest.approx(whole.bits_per_character)


def test_each_character_has_its_own_bits() -> None:
    """A character has the bits that the text up to it has more than the text before it."""
    predictor, text = make_predictor(), "abc hfg\nbad"
    scored = charlm.score_text(predictor, text)
    assert [one.character for one in scored] == list(text)
    assert scored[0].bits == 0
    sums = [sum(charlm.score_text(predictor, text[:end]).bits) for end in range(2, len(text) + 1)]
    assert [one.bits for one in scored[2:]] == pytest.approx(np.diff(sums).tolist(), rel=1e-4)


def test_a_byte_model_adds_the_bits_of_bytes() -> None:
    """A model of bytes without weights gives 8 bits to each byte but the first of the text."""
    predictor = make_predictor(Vocabulary.of_bytes())
    for parameter in predictor.model.parameters():
        parameter.data.zero_()
    scored = charlm.score_text(predictor, "é日a\udcff😀")
    assert list(scored.bits) == pytest.approx([8, 24, 8, 8, 32])


def test_a_long_text_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor, text = make_predictor(), "abc hfg\nbad" * 9
    whole = charlm.score_text(predictor, text)
    monkeypatch.setattr("charlm.prediction.reading._PREDICTIONS_AT_ONCE", 7)
    assert charlm.score_text(predictor, text).bits == pytest.approx(whole.bits, rel=1e-4)


def test_nothing_to_predict_is_a_mistake() -> None:
    with pytest.raises(CorpusError, match="a text of 1 character has none to predict"):
        charlm.score_text(make_predictor(), "a")


def test_bits_are_finite_or_an_error() -> None:
    predictor = make_predictor()
    for parameter in predictor.model.parameters():
        parameter.data.fill_(torch.nan)
    with pytest.raises(DivergenceError, match="not finite"):
        charlm.score_text(predictor, "abc")


def test_scored_text_is_shown_in_one_line() -> None:
    """A notebook shows the text itself, escaped, with the bits of each character."""
    predictor = make_predictor(Vocabulary(tuple(map(ord, "\n &<>ab"))))
    scored = charlm.score_text(predictor, "<b>&\n" * 30)
    bits = sum(scored.bits) / 149
    assert repr(scored).startswith(f"TextScore({bits:.3f} bits per character, 150 characters: '<b>")
    assert len(repr(scored)) < 140
    page = scored._repr_html_()
    assert page.count("<span ") == 150
    assert "<b>" not in page
    assert f'title="{scored[1].bits:.2f} bits"' in page
    assert ">&amp;</span>" in page
