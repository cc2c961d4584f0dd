"""What a notebook shows of charlm's objects: short lines, tables and errors without a traceback."""

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from support.training import TINY

import charlm
from charlm import CharlmError, load
from charlm.errors import ConfigError
from charlm.prediction.perplexity import Score
from charlm.training.events import Finished

SCORE = Score(nats=200.0, characters=1200, bytes=1500, unknown_characters=3)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("trained")
    text = folder / "text.txt"
    text.write_text("The rain falls <b>&amp; rises.\n" * 60, "utf-8")
    return charlm.train(
        "quickstart",
        text=text,
        name="run",
        runs=folder,
        settings=[*TINY, "training.steps=2"],
    )


class Texts(HTMLParser):
    """Collects the texts of a page, with its entities decoded."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found.append(data)


def texts_in(html: str) -> list[str]:
    parser = Texts()
    parser.feed(html)
    parser.close()
    return parser.found


def raised(function: object, *arguments: object) -> CharlmError:
    assert callable(function)
    with pytest.raises(CharlmError) as caught:
        function(*arguments)
    return caught.value


def test_an_error_is_one_line_in_a_notebook() -> None:
    """IPython shows what `_render_traceback_` returns: the kind of error and its message."""
    assert ConfigError("a: b\nc")._render_traceback_() == ["ConfigError: a: b c"]
    (line,) = raised(load, "runs/nothing")._render_traceback_()
    assert line.startswith("RunError: runs/nothing: no such run")


def test_ipython_shows_errors_as_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """IPython calls the method, and prints a mistake without a traceback."""
    shell = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell()
    result = shell.run_cell("import charlm; charlm.load('runs/nothing')")
    assert isinstance(result.error_in_exec, CharlmError)
    shown = capsys.readouterr()
    assert "RunError: runs/nothing: no such run" in shown.out + shown.err
    assert "Traceback" not in shown.out + shown.err


def test_a_score_shows_its_measures() -> None:
    """The total of nats is not shown: it would be taken for the loss."""
    perplexity, bits = math.exp(200 / 1200), 200 / 1200 / math.log(2)
    measures = f"perplexity {perplexity:.3f}, {bits:.3f} bits per character, 1,200 characters"
    assert repr(SCORE) == f"Score({measures})"
    assert repr(replace(SCORE, text="test")) == f"Score({measures} of test)"
    page = texts_in(replace(SCORE, text="<i>&amp;</i>")._repr_html_())
    assert page[:4] == ["text", "<i>&amp;</i>", "perplexity", f"{perplexity:.4f}"]


def test_a_long_text_name_is_shortened() -> None:
    """A score of many files is still one short line."""
    line = repr(replace(SCORE, text=", ".join(f"book-{number}.txt" for number in range(99))))
    assert len(line) < 160
    assert re.search(r"of book-0\.txt, .*….*, book-98\.txt\)$", line)


def test_evaluate_names_its_text(finished: Finished, tmp_path: Path) -> None:
    """A score names the split, or the files, that it is of."""
    model = charlm.load(finished.folder.path)
    assert charlm.evaluate(model).text == "test"
    assert charlm.evaluate(model, split="train").text == "train"
    other = tmp_path / "other.txt"
    other.write_text("Rain rises.", "utf-8")
    assert charlm.evaluate(model, text=other).text == str(other)
    assert finished.held_out is not None
    assert finished.held_out[1].text == "test"


def test_a_finished_run_is_one_line(finished: Finished) -> None:
    """The line has the folder, the steps and the perplexity; the table has the sample, too."""
    assert finished.held_out is not None
    perplexity = finished.held_out[1].perplexity
    path = finished.folder.path
    ends = f"test perplexity {perplexity:.3f}"
    assert re.fullmatch(
        rf"Finished\({re.escape(str(path))}: 2 steps in 0:\d\d, {ends}\)", repr(finished)
    )
    page = texts_in(replace(finished, sample="<script>\udcff")._repr_html_())
    assert page[:2] == ["run", str(path)]
    assert page[-2:] == ["sample", "<script>?"]


def test_a_model_is_one_line(finished: Finished) -> None:
    """It names the checkpoint, the cell and its size, not the weights."""
    model = charlm.load(finished.folder.path)
    assert re.fullmatch(
        r"Predictor\(\S+best\.safetensors: lstm, 1 layer of 16, [\d,]+ parameters, "
        r"\d+ different characters\)",
        repr(model),
    )
    assert texts_in(model._repr_html_())[2:4] == ["model", "lstm, 1 layer of 16"]
