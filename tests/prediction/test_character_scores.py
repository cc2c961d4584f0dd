"""The table of the scores of single characters: the bits of `score_text`, and whole rows."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.generation import make_predictor

import charlm
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import CharlmError, CorpusError, DivergenceError
from charlm.prediction.character_scores import CharacterScores
from charlm.prediction.characters import shown_symbols

TEXT = "abc hxfg\nbad"
COLUMNS = ("character", "bits", "rank", "entropy", "likeliest", "probability")


@pytest.mark.parametrize("vocabulary", [Vocabulary(tuple(map(ord, "\n abcd"))), None])
@pytest.mark.parametrize("text", [TEXT, "日b😀\udcff", "\0\0"])
def test_bits_are_those_of_score_text(vocabulary: Vocabulary | None, text: str) -> None:
    """Also of unknown characters, and of characters of several bytes."""
    predictor = make_predictor(vocabulary or Vocabulary.of_bytes())
    table, expected = predictor.scores(text), charlm.score_text(predictor, text)
    assert isinstance(table, CharacterScores)
    assert table.dtype.names == COLUMNS
    assert np.nansum(table.bits) == pytest.approx(sum(expected.bits), rel=1e-5)
    assert table.bits[1:] == pytest.approx(list(expected.bits[1:]), rel=1e-3)
    assert "".join(table.character) == text.replace("\0", "")


def test_a_row_is_the_distribution_of_its_place() -> None:
    """Rank, entropy and alternatives agree with the logits after the characters before it."""
    predictor = make_predictor()
    table = predictor.scores(TEXT, likeliest=len(predictor.vocabulary))
    ids = torch.tensor(predictor.vocabulary.encode_text(TEXT, "map").astype(np.int64))
    with torch.no_grad():
        logits, _ = predictor.model(ids[:-1, None], predictor.model.initial_state(1))
    for row, distribution, target in zip(table[1:], logits[:, 0].softmax(1), ids[1:], strict=True):
        assert row.bits == pytest.approx(-distribution[target].log2().item(), abs=1e-4)
        assert row["rank"] == 1 + (distribution > distribution[target]).sum()
        entropy = -(distribution * distribution.log2()).sum().item()
        assert row.entropy == pytest.approx(entropy, abs=1e-4)
        highest = distribution.topk(len(predictor.vocabulary))
        assert row.probability == pytest.approx(highest.values.numpy(), rel=1e-4)
        symbols = shown_symbols(predictor.vocabulary)
        assert list(row.likeliest) == [symbols[one] for one in highest.indices.tolist()]


def test_the_first_character_has_no_scores() -> None:
    """It is not predicted: a mean over it would be wrong, so its entries are missing."""
    first = make_predictor().scores(TEXT, likeliest=2)[0]
    assert np.isnan([first.bits, first.entropy]).all()
    assert (first["rank"], *first.likeliest) == (0, "", "")


def test_parts_of_a_table_are_tables() -> None:
    table = make_predictor().scores(TEXT, likeliest=0)
    assert isinstance(table[table.bits > 1], CharacterScores)
    assert table.likeliest.shape == (len(TEXT), 0)


def test_mistakes_have_a_line() -> None:
    predictor = make_predictor()
    with pytest.raises(CorpusError, match="a text of 1 character has none to predict"):
        predictor.scores("a")
    with pytest.raises(CharlmError, match="likeliest=-1: the number of alternatives is"):
        predictor.scores("ab", likeliest=-1)
    for parameter in predictor.model.parameters():
        parameter.data.fill_(torch.nan)
    with pytest.raises(DivergenceError, match="not finite"):
        predictor.scores("ab")


def test_pandas_gets_a_column_for_each_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each alternative has columns of its own; without pandas, a line names what is needed."""
    table = make_predictor().scores(TEXT, likeliest=2)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(CharlmError, match="needs pandas: pip install pandas"):
        table.to_pandas()
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=dict))
    frame = table.to_pandas()
    names = [f"{name}_{number}" for number in (1, 2) for name in ("likeliest", "probability")]
    assert list(frame) == [*COLUMNS[:4], *names]
    assert frame["likeliest_2"].tolist() == [row.likeliest[1] for row in table]
