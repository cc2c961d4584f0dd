"""Where a text surprises a model: odd lines, typos, and the columns of its characters."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from support.training import PowerLossError, crash_at, train

import charlm
from charlm.analysis.surprise import LEVELS, Order, Surprise
from charlm.models.cells import CELLS

LINE = "the rain falls on the town\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> charlm.Predictor:
    """A network that has learnt one line by heart."""
    folder = tmp_path_factory.mktemp("trained")
    path = folder / "text.txt"
    path.write_text(LINE * 200, "utf-8")
    settings = ("training.steps=150", "training.learning_rate=0.02", "model.hidden_size=32")
    return charlm.load(train(path, folder, *settings).path)


def found(model: charlm.Predictor, folder: Path, text: str) -> Surprise:
    path = folder / "other.txt"
    path.write_text(text, "utf-8", newline="")
    return charlm.surprise(model, path)


def test_odd_lines_come_first(model: charlm.Predictor, tmp_path: Path) -> None:
    """By mean or by sum, a line that differs has the most bits; the sums are those of the text."""
    odd = "no rain\n"
    result = found(model, tmp_path, LINE * 3 + odd + LINE * 2)
    for order in get_args(Order):
        lines = result.lines(3, order)
        assert (lines[0].line, lines[0].text, lines[0].characters) == (4, "no rain", len(odd))
        keys = [line.mean if order == "mean" else line.bits for line in lines]
        assert keys == sorted(keys, reverse=True)
    assert result.lines(1)[0].mean == result.lines(1)[0].bits / len(odd)
    every = result.lines(99)
    assert len(every) == 6
    assert sum(line.bits for line in every) == pytest.approx(
        result.analysed.score.nats / math.log(2)
    )
    assert sum(line.characters for line in every) == result.analysed.score.characters
    assert result.lines(0) == []


def test_a_line_without_predictions_is_left_out(model: charlm.Predictor, tmp_path: Path) -> None:
    """A newline at the very beginning is the first character, which is not predicted."""
    assert [line.line for line in found(model, tmp_path, "\nthe").lines(9)] == [2]


def test_blank_lines_are_left_out(model: charlm.Predictor, tmp_path: Path) -> None:
    """The newline of an unexpected blank line has the most bits per character of all."""
    result = found(model, tmp_path, LINE + "\n" + LINE + " \t\n" + LINE)
    assert result.analysed.bits[len(LINE)] > max(line.mean for line in result.lines(9))
    assert sorted(line.line for line in result.lines(9)) == [1, 3, 5]
    assert [line.line for line in result.lines(1)] == [result.lines(9)[0].line]


def test_a_typo_comes_first_with_its_word(model: charlm.Predictor, tmp_path: Path) -> None:
    """The word with a swapped letter, its place, and the word up to what was expected."""
    typo = LINE.replace("falls", "fawls")
    result = found(model, tmp_path, LINE * 2 + typo + LINE)
    first = result.words(5)[0]
    assert (first.word, first.line, first.column, first.occurrences) == ("fawls", 3, 10, 1)
    assert first.expected[0][0] == "fal"
    assert first.expected[0][1] == pytest.approx(
        result.alternatives(2 * len(LINE) + typo.index("w"))[0][1]
    )
    assert all(word.bits > 0 for word in result.words(99))


def test_a_word_may_lack_its_end(model: charlm.Predictor, tmp_path: Path) -> None:
    """The space that came too early is the surprise."""
    first = found(model, tmp_path, LINE + LINE.replace("rain", "rai") + LINE).words(1)[0]
    assert (first.word, first.expected[0][0]) == ("rai", "rain")


def test_a_frequent_word_is_hardly_a_typo(model: charlm.Predictor, tmp_path: Path) -> None:
    """A word is listed once, with its occurrences, at the place with the fewest bits."""
    once = found(model, tmp_path, LINE + LINE.replace("rain", "rian")).words(9)[0]
    result = found(model, tmp_path, LINE + LINE.replace("rain", "rian") + "rian rian\n")
    (often,) = (word for word in result.words(99) if word.word.casefold() == "rian")
    assert often.occurrences == 3
    assert once.occurrences == 1
    assert often.bits <= once.bits


def test_fragments_are_no_words(model: charlm.Predictor, tmp_path: Path) -> None:
    """Letters beside digits or unknown characters are not judged."""
    words = found(model, tmp_path, LINE + "a1fro fro\u4e00ft oll_t a\n").words(99)
    assert {word.word for word in words} <= {*LINE.split(), "a"}


def test_levels_follow_bits(model: charlm.Predictor, tmp_path: Path) -> None:
    result = found(model, tmp_path, LINE[:6])
    bits = np.array([0, 1.9, *LEVELS, 99.0])
    nats = (bits * math.log(2)).astype(np.float32)
    changed = Surprise(replace(result.analysed, nats=nats + np.float32(1e-4)))
    assert changed.levels.tolist() == [0, 0, 1, 2, 3, 3]


def test_columns_agree_with_the_score(model: charlm.Predictor, tmp_path: Path) -> None:
    """The first character has none; the bits of the others add up, and it is valid JSON."""
    result = found(model, tmp_path, LINE + "no☃\n")
    columns = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert columns["bits"][0] is columns["ranks"][0] is columns["entropies"][0] is None
    assert sum(columns["bits"][1:]) == pytest.approx(
        result.analysed.score.nats / math.log(2), rel=1e-3
    )
    assert columns["text"] == LINE + "no☃\n"
    assert columns["unknown"] == [len(LINE) + 2]
    for place, rank in enumerate(columns["ranks"][1:], 1):
        likely = [columns["symbols"][one] for one in columns["likeliest"][place]]
        assert (columns["text"][place] in likely) == (rank <= len(likely))


def test_a_notebook_shows_text_as_text(model: charlm.Predictor, tmp_path: Path) -> None:
    """Mark-up is escaped, surprises have a background, and a long text is cut."""
    page = found(model, tmp_path, "the <b>rain</b> & ☃" + LINE * 200)._repr_html_()
    assert "<b>" not in page
    assert ">☃</span>" in page  # an unknown character
    assert "background:rgba(220" in page
    assert "more characters" in page
    assert page.count("<span") == 5_000


@pytest.mark.parametrize(
    "settings",
    [
        *([f"model.cell={cell}"] for cell in CELLS),
        ["corpus.unit=byte"],
        ["ensemble.members=2", "ensemble.ngram_order=3"],
    ],
    ids=str,
)
def test_every_cell_and_unit(settings: list[str], text_file: Path, tmp_path: Path) -> None:
    """Also an ensemble has lines, words and columns; a byte model shows the bytes it expects."""
    run = train(text_file, tmp_path / "runs", "training.steps=2", *settings)
    result = found(charlm.load(run.path), tmp_path, "the café\nis 日本 open\n")
    assert len(result.to_json()["bits"]) == len(result.analysed.text) == 20
    assert len(result.lines(9)) == 2
    assert len(result.alternatives(5)) == 5
    assert "café" in [word.word for word in result.words(99)] or "unit" not in settings[0]


def test_a_model_in_training(text_file: Path, tmp_path: Path) -> None:
    """The newest checkpoint of a run that has not ended is read."""
    with pytest.raises(PowerLossError):
        train(
            text_file,
            tmp_path / "runs",
            "training.steps=9",
            "training.save_every=2",
            on_event=crash_at(5),
            name="live",
        )
    result = found(charlm.load(tmp_path / "runs" / "live"), tmp_path, "the rain\n")
    assert len(result.lines(1)) == 1
