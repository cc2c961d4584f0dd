"""What a text copies from the training text of a model, beside held-out text."""

import random
from pathlib import Path
from typing import Any

import pytest
from support.training import train

import charlm
from charlm.analysis.copying_verdict import SPAN_LENGTHS, Copying, verdict_of
from charlm.errors import CorpusError
from charlm.models.cells import CELLS
from charlm.runs.folder import RunFolder

LINES = [" ".join(random.Random(n).choices("abcdefgh", k=30)) for n in range(100)]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "lines.txt"
    path.write_text("\n".join(LINES) + "\n", "utf-8")
    return path


@pytest.fixture(scope="module")
def run(text: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return train(text, tmp_path_factory.mktemp("runs"), "training.steps=2")


def test_copied_lines_are_found(run: RunFolder, tmp_path: Path) -> None:
    """The spans are those that were copied, at their lines of the training text."""
    file = tmp_path / "other.txt"
    file.write_text(f"§ {LINES[40]} § {LINES[7]}§ new ", "utf-8")
    result = charlm.originality(charlm.load(run.path), file)
    copied = [span for span in result.spans if span.length > 50]
    assert sorted(span.training_line or 0 for span in copied) == [8, 41]
    for span in copied:
        assert LINES[(span.training_line or 0) - 1] in span.text
        assert file.read_text("utf-8")[span.character - 1 :].startswith(span.text)
    assert result.text.shares[50] > 0.9
    assert result.text.longest == max(span.length for span in result.spans)
    assert result.held_out is not None
    assert result.held_out.shares[50] == 0
    assert result.verdict.startswith("much of it is copied")


def test_each_span_is_listed_once(run: RunFolder, tmp_path: Path) -> None:
    """A span that the text repeats is in the list once."""
    file = tmp_path / "other.txt"
    file.write_text(f"§{LINES[3]}§" * 4, "utf-8")
    texts = [span.text for span in charlm.originality(charlm.load(run.path), file).spans]
    assert texts.count(LINES[3]) == 1 == len(texts) - len(set(texts)) + 1


def test_generated_text_has_its_seed(run: RunFolder) -> None:
    """The same seed and settings give the same figures; without a seed it is stated."""
    model = charlm.load(run.path)
    first = charlm.originality(model, length=200, temperature=0.5)
    again = charlm.originality(model, seed=first.generation["seed"], length=200, temperature=0.5)
    assert first.to_json() == again.to_json()
    assert first.text.characters == 200 == first.generation["length"]
    assert first.generation["temperature"] == 0.5


@pytest.mark.parametrize(
    "settings",
    [
        *([f"model.cell={cell}"] for cell in CELLS),
        ["corpus.unit=byte"],
        ["ensemble.members=2", "training.steps=1"],
        ["corpus.validation_first=true", "corpus.split=[0.8, 0.2, 0]"],
        ["corpus.split=[1, 0, 0]"],
        ["corpus.minimum_count=5"],
    ],
    ids="-".join,
)
def test_any_model_can_be_compared(settings: list[str], text: Path, tmp_path: Path) -> None:
    """Every cell, bytes, an ensemble, other splits; the line numbers are those of the file."""
    folder = train(text, tmp_path / "runs", "training.steps=1", *settings)
    file = tmp_path / "other.txt"
    file.write_text(f"?{LINES[50]}é", "utf-8")
    result = charlm.originality(charlm.load(folder.path), file)
    assert [span.training_line for span in result.spans if span.length > 50] == [51]
    assert (result.held_out is None) == ("corpus.split=[1, 0, 0]" in settings)
    generated = charlm.originality(charlm.load(folder.path), seed=1, length=50)
    assert generated.text.characters == 50


@pytest.mark.filterwarnings("ignore::charlm.errors.CorpusNotice")
def test_lines_are_those_of_the_files(tmp_path: Path) -> None:
    """Also with a byte order mark, line ends of Windows, a blank first line, and two files."""
    lines = ["", *LINES[:49], "", *LINES[50:]]
    first, second, other = (tmp_path / name for name in ("1.txt", "2.txt", "other.txt"))
    first.write_bytes(b"\xef\xbb\xbf" + "".join(f"{line}\r\n" for line in lines).encode())
    second.write_text("".join(f"{line[::-1]}\n" for line in LINES), "utf-8")
    other.write_text(f"?{LINES[60]}?{LINES[30][::-1]}?", "utf-8")
    expected: dict[int, list[tuple[int, str | None]]] = {
        1: [(62, None)],
        2: [(31, str(second)), (62, str(first))],
    }
    for number, places in expected.items():
        files = [first, second][:number]
        run = charlm.train("quickstart", text=files, runs=tmp_path / str(number), steps=1)
        assert _places(charlm.load(run.run.path), other) == places
    moved = tmp_path / "moved.txt"
    second.rename(moved)
    with pytest.raises(CorpusError, match=r"2\.txt"):
        _places(charlm.load(run.run.path), other)
    found = _places(charlm.load(run.run.path), other, training_text=[first, moved])
    assert found == [(31, str(moved)), (62, str(first))]


def _places(model: charlm.Predictor, text: Path, **options: Any) -> list[tuple[int, str | None]]:
    """Return line and file of each long copied span, in order."""
    found = charlm.originality(model, text, **options).spans
    return sorted((one.training_line or 0, one.training_file) for one in found if one.length > 50)


def test_files_that_end_within_a_line(tmp_path: Path) -> None:
    """The first line of a file is 1, also where the file before it ends without a newline."""
    first, second, other = (tmp_path / name for name in ("1.txt", "2.txt", "other.txt"))
    first.write_text("\n".join(LINES), "utf-8")
    second.write_text("\n".join(line[::-1] for line in LINES), "utf-8")
    other.write_text(f"?{LINES[99]}?{LINES[0][::-1]}?{LINES[30][::-1]}?", "utf-8")
    folder = tmp_path / "runs"
    options: dict[str, Any] = {"text": [first, second], "runs": folder, "steps": 1}
    for number, setting in enumerate(("corpus.unit=byte", "corpus.validation_first=true")):
        settings = [setting, "corpus.split=[0.98,0.01,0.01]"]
        run = charlm.train("quickstart", name=str(number), settings=settings, **options)
        found = _places(charlm.load(run.run.path), other)
        assert found == [(1, str(second)), (31, str(second)), (100, str(first))]


def test_records_have_no_lines(text: Path, tmp_path: Path) -> None:
    """A split takes records here and there, so lines of the split are none of the file."""
    folder = train(text, tmp_path / "runs", "training.steps=1", "corpus.records=lines")
    copied = text.read_text("utf-8")
    (tmp_path / "other.txt").write_text(copied, "utf-8")
    found = charlm.originality(charlm.load(folder.path), tmp_path / "other.txt")
    assert found.spans
    assert {span.training_line for span in found.spans} == {None}


def test_a_model_in_training_can_be_compared(text: Path, tmp_path: Path) -> None:
    """Before the first validation, there is only the checkpoint to resume from."""
    folder = train(text, tmp_path / "runs", "training.steps=1")
    (folder.path / "checkpoints" / "best.safetensors").unlink()
    assert charlm.originality(charlm.load(folder.path), text).text.shares[100] > 0.8


def test_unknown_characters_are_not_copied(text: Path, tmp_path: Path) -> None:
    """An unknown character of the text is not one of the training text."""
    rare = tmp_path / "rare.txt"
    rare.write_text(f"{LINES[0]}§{LINES[1]}\n" + text.read_text("utf-8"), "utf-8")
    folder = train(rare, tmp_path / "runs", "training.steps=1", "corpus.minimum_count=2")
    file = tmp_path / "other.txt"
    file.write_text(f"{LINES[0]}§{LINES[1]}", "utf-8")
    result = charlm.originality(charlm.load(folder.path), file)
    assert result.text.longest == len(LINES[0])


def test_a_missing_training_text(text: Path, tmp_path: Path) -> None:
    """The error says what to do; a copy of the text replaces it, and another text does not."""
    moved, other = tmp_path / "moved.txt", tmp_path / "other.txt"
    here = tmp_path / "here.txt"
    here.write_bytes(text.read_bytes())
    model = charlm.load(train(here, tmp_path / "runs", "training.steps=1").path)
    other.write_text("something else, which is long enough\n" * 9, "utf-8")
    here.rename(moved)
    with pytest.raises(CorpusError, match=r"here.txt: .*name a copy of it with --text"):
        charlm.originality(model, other)
    assert charlm.originality(model, moved, training_text=moved).text.shares[100] > 0.8
    with pytest.raises(CorpusError, match=r"other.txt is not the training text of the model"):
        charlm.originality(model, other, training_text=other)


def test_initial_models_are_named(run: RunFolder, text: Path, tmp_path: Path) -> None:
    """A text that an initial model has read is not searched, and the result names it."""
    other = tmp_path / "other.txt"
    other.write_text("".join(f"{line[::-1]}\n" for line in LINES), "utf-8")
    folder = train(other, tmp_path / "runs", "training.steps=1", f"training.start_from={run.path}")
    assert charlm.originality(charlm.load(folder.path), other).unsearched == ("lines.txt",)
    assert charlm.originality(charlm.load(run.path), other).unsearched == ()


def test_a_notebook_shows_the_verdict(run: RunFolder, tmp_path: Path) -> None:
    """The table has the longest spans, and text stays text."""
    file = tmp_path / "<b>.txt"
    file.write_text(LINES[3], "utf-8")
    result = charlm.originality(charlm.load(run.path), file)
    page = result._repr_html_()
    assert "&lt;b&gt;.txt" in page
    assert "<b>" not in page
    assert "much of it is copied" in page
    assert "much of it is copied" in repr(result)


def _copying(
    short: float, middle: float, long: float = 0.0, *, longest: int = 60, characters: int = 5000
) -> Copying:
    shares = dict(zip(SPAN_LENGTHS, (short, middle, long), strict=True))
    return Copying("a text", characters, longest, shares)


@pytest.mark.parametrize(
    ("text_shares", "held_out_shares", "words"),
    [
        ((0.9, 0.8), (0.1, 0.0), "much of it is copied: 80% of it"),
        ((0.9, 0.8), (0.9, 0.78), "some of it is copied: 80% of it"),
        ((0.9, 0.8), (0.9, 0.8), "original: it copies hardly more than real text"),
        ((0.5, 0.01), (0.2, 0.0), "it repeats phrases: 50% of it"),
        ((0.0, 0.0), (0.5, 0.5), "original"),
        ((0.088, 0.0), (0.022, 0.0), "it repeats phrases: 8.8% of it"),
        ((0.088, 0.0), (0.05, 0.0), "original: it copies hardly more"),
        ((0.9, 0.8, 0.5), (0.9, 0.8, 0.1), "much of it is copied: 50% of it"),
        ((0.02, 0.01), (0.001, 0.0), "original: it copies hardly more"),
        ((0.0, 0.0), None, "no held-out text"),
    ],
)
def test_verdicts_compare_with_real_text(
    text_shares: tuple[float, ...], held_out_shares: tuple[float, ...] | None, words: str
) -> None:
    """The same shares are copying beside one text and ordinary beside another."""
    held_out = None if held_out_shares is None else _copying(*held_out_shares)
    assert words in verdict_of(_copying(*text_shares), held_out)
    assert "say little" in verdict_of(_copying(*text_shares, characters=999), held_out)


def test_a_verdict_names_its_figures() -> None:
    """The share of the spans that it rests on, that of real text, and the longest span."""
    phrases = verdict_of(_copying(0.088, 0.0, longest=41), _copying(0.022, 0.0))
    assert phrases == (
        "it repeats phrases: 8.8% of it stands in copied spans of at least 20 characters, at "
        "least 4 times the 2.2% of real text; no span has 50"
    )
    copied = verdict_of(_copying(0.5, 0.3, 0.2, longest=1234), _copying(0.2, 0.0))
    assert copied == (
        "much of it is copied: 30% of it stands in copied spans of at least 50 characters, 0% of "
        "real text; the longest span has 1,234"
    )
