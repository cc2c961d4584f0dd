"""A text with the scores of its characters: the score of `evaluate`, and the right places."""

import math
from pathlib import Path

import numpy as np
import pytest
from support.training import TINY

import charlm
from charlm.analysis.analysed_text import analyse, characters_of
from charlm.corpus.corpus import Split
from charlm.corpus.vocabulary import UNKNOWN_TYPE, Vocabulary
from charlm.errors import CorpusError
from charlm.prediction.predictor import Predictor


@pytest.fixture(scope="module", params=["character", "byte"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = tmp_path_factory.mktemp("trained")
    path = folder / "text.txt"
    path.write_text("a bad café\n" * 99, "utf-8")
    settings = [*TINY, "training.steps=2", f"corpus.unit={request.param}"]
    return charlm.load(charlm.train("quickstart", text=path, runs=folder, settings=settings).run)


def write(folder: Path, text: str) -> Path:
    path = folder / "other.txt"
    path.write_text(text, "utf-8", newline="")
    return path


@pytest.mark.parametrize("text", ["ab", "a bad\ncafé 日本b😀\n", "日a\n\n\nb"])
def test_the_score_is_that_of_evaluate(trained: Predictor, text: str, tmp_path: Path) -> None:
    """Also with unknown characters; a byte model gives a character the sum of its bytes."""
    path = write(tmp_path, text)
    analysed, score = analyse(trained, text=path), charlm.evaluate(trained, text=path)
    assert analysed.score == score
    assert analysed.nats.sum(dtype=np.float64) == pytest.approx(score.nats, rel=1e-6)
    bits = charlm.score_text(trained, text).bits
    assert analysed.bits == pytest.approx(bits, rel=1e-3)
    assert analysed.text == text
    unknown = [character in "日本😀" for character in text]
    if trained.vocabulary.unit == "character":
        assert analysed.is_unknown.tolist() == unknown
    else:
        assert not analysed.is_unknown.any()
    assert len(analysed) == len(text) == len(analysed.ranks) == len(analysed.likeliest)


def test_a_split_is_scored_with_its_caveats(trained: Predictor) -> None:
    """The training split overlaps the training text, and the protocol states this."""
    analysed = analyse(trained, split="train", num_likeliest=2)
    score = charlm.evaluate(trained, split="train")
    assert analysed.score == score
    assert analysed.score.overlaps
    assert analysed.text.startswith("a bad café\n")
    shown = trained.vocabulary.decode(analysed.likeliest[1])
    assert len(shown) == 2
    assert (analysed.probabilities[1:, 0] >= analysed.probabilities[1:, 1]).all()


def test_places_are_lines_and_columns(trained: Predictor, tmp_path: Path) -> None:
    """A newline is the last character of its line."""
    text = "ab\n\ncafé\nb"
    analysed = analyse(trained, text=write(tmp_path, text))
    lines, column, line = [], 1, 1
    for place, character in enumerate(text):
        assert analysed.line_and_column(place) == (line, column)
        lines.append(line)
        line, column = (line + 1, 1) if character == "\n" else (line, column + 1)
    assert analysed.lines.tolist() == lines
    assert [analysed.line(number) for number in (1, 2, 3, 4)] == ["ab", "", "café", "b"]


def test_records_are_on_the_lines_of_their_file(tmp_path: Path) -> None:
    """The boundary that a model reads before the first one is not in the file."""
    names = tmp_path / "names.txt"
    names.write_text("anna\nbob\nzoe\n" * 60, "utf-8")
    settings = [*TINY, "training.steps=2"]
    run = charlm.train("names", text=names, runs=tmp_path, settings=settings).run
    found = charlm.surprise(charlm.load(run), write(tmp_path, "bob\nxqz\nanna\n"))
    assert {(one.line, one.text) for one in found.lines(9)} == {(1, "bob"), (2, "xqz"), (3, "anna")}
    assert sum(one.characters for one in found.lines(9)) == found.analysed.score.characters == 13
    places = {one.word: (one.line, one.column) for one in found.words(9)}
    assert places.items() <= {"bob": (1, 1), "xqz": (2, 1), "anna": (3, 1)}.items()
    assert found.analysed.lines.tolist() == [0, *[1] * 4, *[2] * 4, *[3] * 5]


def test_bytes_that_are_not_utf_8_are_characters() -> None:
    """Each is a character of its own, also where a split begins within a character."""
    text = b"\xa9a\xff\xc3\xa9\xed\xa0\x80\xf0\x9f\x98\x80\xe6"
    split = Split(np.frombuffer(text, np.uint8), np.ones(256, np.uint8), np.zeros(0, UNKNOWN_TYPE))
    shown, starts = characters_of(split, Vocabulary.of_bytes())
    assert shown.encode("utf-8", "surrogateescape") == text
    pieces = [text[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]
    assert pieces == [one.encode("utf-8", "surrogateescape") for one in shown]


def test_a_text_of_one_character_is_a_mistake(trained: Predictor, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="1 character "):
        analyse(trained, text=write(tmp_path, "a"))


def test_entropy_is_the_expected_surprise(trained: Predictor, tmp_path: Path) -> None:
    """It lies between 0 and the logarithm of the vocabulary's size for each id."""
    analysed = analyse(trained, text=write(tmp_path, "a bad bad cab" * 9))
    limit = math.log(len(trained.vocabulary)) * 1.0001
    assert (analysed.entropies[1:] > 0).all()
    assert (analysed.entropies[1:] <= limit).all()
    assert analysed.entropies[0] == analysed.ranks[0] == analysed.nats[0] == 0
