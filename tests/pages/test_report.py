"""The report of runs: one page with what their folders record, in which text stays text."""

import math
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from support.training import PowerLossError, crash_at, train

import charlm
from charlm.analysis.passage import compute_details, score_passage
from charlm.analysis.run_history import read_history
from charlm.errors import CharlmError
from charlm.pages.report import MOST_SAMPLES, report_page, write_report
from charlm.pages.report_charts import loss_charts
from charlm.pages.report_tables import differing_settings, facts
from charlm.prediction import predictor
from charlm.prediction.characters import score_ids
from charlm.runs.folder import RunFolder
from charlm.runs.report_file import is_report
from charlm.runs.training_text import training_corpus

HOSTILE = "</script><img src=x onerror=alert(1)>\0\u202e &amp; "


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("report")
    (folder / "text.txt").write_text("A text with words, and more words. " * 200, "utf-8")
    settings = ["training.steps=12", "training.validate_every=4"]
    return train(folder / "text.txt", folder / "runs", *settings, name="one")


def test_a_report_shows_what_the_folder_records(run: RunFolder) -> None:
    page = report_page([read_history(run.path)])
    for words in (
        *("Training of one", "Loss and perplexity", "12 steps", "model.hidden_size", "lstm"),
        *("Learning rate", "Gradient norm", "uniform", "charlm train", "Samples", "finished"),
        "It starts from the shipped config with the fewest differences",
    ):
        assert words in page, words
    assert page.count('<div data-label="step ') == 3
    assert len(page) < 150_000


def test_a_report_requests_nothing(run: RunFolder) -> None:
    """Its policy forbids requests, and it names no address."""
    page = report_page([read_history(run.path)])
    assert "default-src &#39;none&#39;" in page
    assert not re.search(r"""(?:src|href)=["'](?!#|data:,)""", page)
    assert " style=" not in page, "the policy blocks styles of elements"


def test_text_of_samples_is_text(run: RunFolder) -> None:
    """Nothing that a model wrote becomes an element, and no byte is lost that HTML can hold."""
    history = read_history(run.path)
    folder = RunFolder(run.path)
    before = folder.samples.read_bytes()
    try:
        folder.logs.add_sample(13, HOSTILE + "\udcff" + "x" * 1_000_000)
        page = report_page([read_history(run.path)])
    finally:
        folder.samples.write_bytes(before)
    assert "<img" not in page
    assert "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;\ufffd" in page
    assert page.count("<script") == report_page([history]).count("<script")
    page.encode()


def test_long_trainings_show_some_samples(run: RunFolder, tmp_path: Path) -> None:
    """At most 60 samples, evenly spread, the last one among them."""
    history = read_history(run.path)
    samples = tuple(history.samples[0]._replace(step=step) for step in range(1, 1001))
    page = report_page([type(history)(history.listed, history.networks, samples, (), None)])
    steps = [int(step.replace(",", "")) for step in re.findall(r'data-label="step ([\d,]+)"', page)]
    assert len(steps) <= MOST_SAMPLES
    assert steps[-1] == 1000
    assert len({b - a for a, b in pairwise(steps)}) == 1


def test_runs_overlay_with_their_differences(run: RunFolder, tmp_path: Path) -> None:
    text = run.path.parent.parent / "text.txt"
    other = train(text, tmp_path, "training.steps=6", "model.cell=gru", name="other")
    histories = [read_history(run.path), read_history(other.path)]
    rows = {row.name: row.values for row in differing_settings(histories)}
    assert rows["model.cell"] == ['"lstm"', '"gru"']
    assert rows["training.steps"] == ["12", "6"]
    assert "model.hidden_size" not in rows
    names = [series.name for series, _, _ in loss_charts(histories)["characters"].shown]
    assert names == ["one, training", "one, validation", "other, training", "other, validation"]
    page = report_page(histories)
    assert "Settings in which the runs differ" in page


def test_a_report_of_bytes_counts_bytes(run: RunFolder) -> None:
    """In the buttons of the axes, as on the axes; runs that differ count characters."""
    history = read_history(run.path)
    assert history.config is not None
    config = history.config.replace(corpus={"unit": "byte"})
    of_bytes = replace(history, listed=replace(history.listed, config=config))
    assert [*loss_charts([of_bytes])] == ["bytes", "bytes, logarithmic", "time"]
    assert 'data-label="bytes, logarithmic"' in report_page([of_bytes])
    for histories in ([history], [history, of_bytes]):
        assert [*loss_charts(histories)] == ["characters", "characters, logarithmic", "time"]


def test_a_run_without_steps_has_a_report(tmp_path: Path, text_file: Path) -> None:
    """A killed run is shown as far as it came, even if that is nowhere."""
    with pytest.raises(PowerLossError):
        train(text_file, tmp_path, "training.steps=3", name="one", on_event=crash_at(1))
    (tmp_path / "one" / "metrics.jsonl").unlink(missing_ok=True)
    page = report_page([read_history(tmp_path / "one")])
    assert "There are no training lines yet." in page
    assert "stopped" in page


def test_roll_backs_and_resumptions_are_marked(tmp_path: Path, text_file: Path) -> None:
    with pytest.raises(PowerLossError):
        settings = ["training.steps=9", "training.save_every=4"]
        train(text_file, tmp_path, *settings, name="one", on_event=crash_at(6))
    charlm.resume(tmp_path / "one")
    history = read_history(tmp_path / "one")
    (mark,) = loss_charts([history])["characters"].marks
    assert (mark.name.partition(":")[0], mark.x) == ("resumed", 4 * 4 * 16)


def test_only_reports_are_replaced(run: RunFolder, tmp_path: Path) -> None:
    """A file of the user's stays, also under the name of a report."""
    history, path = read_history(run.path), tmp_path / "report.html"
    write_report(path, [history])
    assert is_report(path)
    write_report(path, [history])
    path.write_text("<!doctype html><p>mine")
    with pytest.raises(CharlmError, match="is not a report of charlm"):
        write_report(path, [history])
    assert path.read_text() == "<!doctype html><p>mine"
    path.unlink()
    path.symlink_to(run.config_file)
    with pytest.raises(CharlmError, match="is not a report of charlm"):
        write_report(path, [history])


def test_a_full_report_computes_more(run: RunFolder) -> None:
    """Baselines on the held-out split, the bits of a passage, and the originality."""
    details = compute_details(run.path)
    assert details.split == "test"
    assert {"uniform", "single characters", "n-grams"} <= details.baselines.keys()
    page = report_page([read_history(run.path)], [details])
    for words in ("Surprise in a passage of the test split", "Originality", "single characters"):
        assert words in page
    assert details.originality is not None
    assert details.originality.verdict in page
    assert "<li>generated text: " in page
    assert "<li>test split (real text, held out): " in page


def test_a_passage_has_the_bits_of_the_score(run: RunFolder) -> None:
    """Its characters are those of the split, and their bits those that the model gives."""
    loaded = predictor.load(run.path)
    assert loaded.checkpoint is not None
    split = training_corpus(loaded.checkpoint).splits["test"]
    passage = score_passage(loaded, split)
    assert "".join(one.text for one in passage) == loaded.vocabulary.decode(split.ids[:1500])
    nats = score_ids(loaded.model, split.ids).nats / math.log(2)
    assert [one.bits for one in passage[1:]] == pytest.approx(nats[:1499].tolist(), abs=1e-4)


def test_facts_say_how_much_was_trained(run: RunFolder) -> None:
    rows = {row.name: row.values[0] for row in facts([read_history(run.path)])}
    assert rows["training"].startswith("12 steps, ")
    assert f"{12 * 4 * 16:,} characters" in rows["training"]
    assert rows["seed"] == "0"
    assert "test split of" in rows["score"]
