"""What a notebook shows of charlm's objects: short lines, tables and errors without a traceback."""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from support.notebooks import run_notebook
from support.training import TINY

import charlm
from charlm import CharlmError, load
from charlm.errors import ConfigError
from charlm.prediction.perplexity import Score
from charlm.training.events import Event, Finished

SCORE = Score(nats=200.0, characters=1200, bytes=1500, unknown_characters=3)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("trained")
    text = folder / "text.txt"
    text.write_text("The rain falls <b>&amp; rises.\n" * 120, "utf-8")
    return charlm.train(
        "quickstart",
        text=text,
        name="run",
        runs=folder,
        settings=[*TINY, "training.steps=2"],
    )


DISPLAYED = "display_data"


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


CELLS = {
    "import charlm; model = charlm.load(RUN); model": "lstm, 1 layer of 16",
    "charlm.evaluate(model)": "bits per character",
    "charlm.compare({'a': model, 'b': model})": "no difference shown between b and a",
    "charlm.surprise(model, TEXT)": "&lt;</span>",
    "charlm.score_text(model, '<b>')": "&lt;</span>",
    "charlm.report(RUN)": '<iframe title="Report(run)" srcdoc="&lt;!doctype html&gt;',
    "charlm.Run(RUN)": "lowest validation loss",
}
"""Cells of a notebook, and what stands in the HTML that each shows."""


@pytest.fixture
def outputs_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Iterable[str]], list[Any]]:
    """Run the cells of a notebook in a kernel; return the outputs of each."""
    nbformat = pytest.importorskip("nbformat.v4")

    def run(codes: Iterable[str]) -> list[Any]:
        notebook = nbformat.new_notebook(cells=[*map(nbformat.new_code_cell, codes)])
        run_notebook(notebook, tmp_path, monkeypatch, timeout=300, allow_errors=True)
        return [cell["outputs"] for cell in notebook["cells"]]

    return run


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_notebook_shows_objects_and_errors(
    finished: Finished, outputs_of: Callable[[Iterable[str]], list[Any]]
) -> None:
    """In a kernel: text is text in the HTML of each object, and a mistake is one line."""
    run, text = finished.folder.path, finished.folder.path.parent / "text.txt"
    codes = [f"RUN, TEXT = {str(run)!r}, {str(text)!r}", *CELLS, "charlm.load('runs/nothing')"]
    _, *shown, failed = outputs_of(codes)
    for (output,), (code, words) in zip(shown, CELLS.items(), strict=True):
        html = output["data"]["text/html"]
        assert words in html, code
        assert "<b>" not in html, code
    (mistake,) = failed
    assert mistake["output_type"] == "error"
    (line,) = mistake["traceback"]
    assert line.startswith("RunError: runs/nothing: no such run")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_notebook_shows_progress(
    finished: Finished, tmp_path: Path, outputs_of: Callable[[Iterable[str]], list[Any]]
) -> None:
    """In a kernel: one line that is redrawn in place, and messages; no codes, no standard error."""
    text, runs = finished.folder.path.parent / "text.txt", tmp_path / "runs"
    shown = f"text={str(text)!r}, runs={str(runs)!r}, progress=True"
    settings = [*TINY, "training.steps=30", "training.validate_every=10"]
    codes = [
        f"import charlm; run = charlm.train('quickstart', {shown}, settings={settings}).run",
        "charlm.resume(run, steps=33, progress=True).step",
        f"charlm.train_series({shown}, seeds=[1, 2], settings={settings})",
        "charlm.train(name='a/b', progress=True)",
    ]
    trained, resumed, series, mistake = outputs_of(codes)
    for outputs, num_lines in ((trained, 1), (resumed, 1), (series, 2)):
        streams = [output for output in outputs if output["output_type"] == "stream"]
        assert {stream["name"] for stream in streams} == {"stdout"}
        written = "".join(stream["text"] for stream in streams)
        assert "\x1b" not in written
        assert written.count("training ") == written.count("\nmodel: ") == num_lines
        lines = [one["data"]["text/plain"] for one in outputs if one["output_type"] == DISPLAYED]
        assert len(lines) == num_lines
        assert all(re.match(r" █{20}  loss [\d.]+ bits  best [\d.]+  ", line) for line in lines)
    validations = re.findall(
        r"^step +(\d+)  validation loss",
        "".join(output.get("text", "") for output in trained),
        re.MULTILINE,
    )
    assert validations == ["10", "20", "30"]
    assert resumed[-1]["data"]["text/plain"] == "33"
    result = series[-1]["data"]
    assert re.match(r"SeriesFinished\(2 runs: RunResult\(\S+: validation", result["text/plain"])
    assert len(result["text/plain"]) < 300
    assert result["text/html"].count("<tr>") == 2
    assert [output["output_type"] for output in mistake] == ["error"]


def test_progress_on_a_stream_is_plain_lines(
    finished: Finished, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Progress goes to standard error, results to the program, and nothing is printed unasked."""
    text = finished.folder.path.parent / "text.txt"
    seen: list[Event] = []
    options: dict[str, Any] = {"text": text, "runs": tmp_path, "settings": [*TINY]}
    charlm.train("quickstart", **options, steps=2, on_event=seen.append)
    assert capfd.readouterr() == ("", "")
    again = charlm.train("quickstart", **options, steps=2, on_event=seen.append, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "validation loss" in err and "\x1b" not in err
    assert seen[-1] == again and sum(isinstance(event, Finished) for event in seen) == 2


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
