"""`charlm compare`: the table, the JSON, groups of seeds, and what it refuses."""

import dataclasses
import json
from pathlib import Path

import pytest
from support.commands import refused, run, train
from support.texts import TEXT

from charlm.analysis.compared import Compared, Comparison
from charlm.cli.comparison_table import block_lengths


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs that differ in their seed, one with another cell, and one of another text."""
    folder = tmp_path_factory.mktemp("runs")
    text, other = folder / "novel.txt", folder / "other.txt"
    text.write_text(TEXT, "utf-8")
    other.write_text(TEXT[::-1], "utf-8")
    train(text, folder / "runs", "--name", "one", "--seed=1")
    train(text, folder / "runs", "--name", "two", "--seed=2")
    train(text, folder / "runs", "--name", "gru", "--set=model.cell=gru", steps=12)
    train(other, folder / "runs", "--name", "backward")
    return folder / "runs"


def test_block_lengths_are_a_range() -> None:
    """From the smallest number to the largest, or the one that all differences have."""
    first, other = Compared("one", (1.0,)), Compared("two", (1.0,), block_length=90)
    others = [dataclasses.replace(other, block_length=length) for length in (1200, 90, 111)]
    assert block_lengths(Comparison("character", "", 5000, (first, *others))) == "90 to 1,200"
    assert block_lengths(Comparison("character", "", 5000, (first, other, other))) == "90"
    assert block_lengths(Comparison("character", "", 5000, (first,))) == ""


def test_runs_are_compared_with_the_first(runs: Path) -> None:
    """In the table and in the JSON; the figures are those of `charlm eval`."""
    arguments = ("compare", runs / "one", runs / "gru", runs / "two")
    found = json.loads(run(*arguments, "--json").stdout)
    assert [one["name"] for one in found["runs"]] == ["one", "gru", "two"]
    for one in found["runs"]:
        score = json.loads(run("eval", runs / one["name"], "--json").stdout)
        assert one["figures"] == [pytest.approx(score["bits_per_character"])]
        assert one["protocols"] == [score["protocol"]]
    first, gru, _ = found["runs"]
    assert gru["difference"] == pytest.approx(gru["mean"] - first["mean"])
    low, high = gru["interval"]
    assert low < gru["difference"] < high
    shown = run(*arguments).stdout
    assert f"{gru['mean']:.4f}" in shown
    assert f"{gru['difference']:+.4f}" in shown
    assert gru["verdict"] in shown
    assert f"{found['characters']:,} characters" in shown
    assert found["further_differences"] in shown
    assert "steps (one 4, gru 12, two 4); settings: model.cell" in shown
    biased = json.loads(run(*arguments, "--split=train", "--json").stdout)["runs"]
    words = "; the scores of one and gru are biased: the model was trained on all of it"
    assert words in biased[1]["verdict"]


def test_groups_are_compared_by_their_mean(runs: Path) -> None:
    """A run of a group is a path, or a name below --runs."""
    group = f"--group=lstm={runs / 'one'},{runs / 'two'}"
    found = json.loads(run("compare", group, runs / "gru", "--json").stdout)
    lstm, gru = found["runs"]
    assert lstm["name"] == "lstm"
    assert lstm["mean"] == pytest.approx(sum(lstm["figures"]) / 2)
    assert lstm["deviation"] > 0
    assert gru["deviation"] is None
    assert f"± {lstm['deviation']:.4f}" in run("compare", group, runs / "gru").stdout


def test_mistakes_are_one_line(runs: Path) -> None:
    one, two = runs / "one", runs / "two"
    refused(run("compare", one), "compare needs two runs")
    refused(run("compare", one, one), "named twice")
    refused(run("compare", one, two, "--text=-"), "standard input to a file")
    refused(run("compare", one, "--group=x"), "--group x: expected NAME=RUN,RUN")
    refused(run("compare", one, f"--group=one={two}"), "--group one=", "choose another")
    refused(run("compare", f"--group=a={one},{one}", two), "a run is named twice")
    refused(run("compare", f"--group=a={one}", f"--group=a={two}"), "given twice")
    refused(run("compare", one, runs / "backward"), "one and backward", "--text")
    refused(run("compare", one, runs / "nothing"), "nothing")


def test_other_texts_compare_on_one_text(runs: Path, tmp_path: Path) -> None:
    """Models of different texts are compared on a text that is named."""
    text = tmp_path / "short.txt"
    text.write_text("The rain came in, and nobody looked up.\n" * 5, "utf-8")
    result = run("compare", runs / "one", runs / "backward", "--text", text)
    assert result.exit_code == 0, result.output
    assert "199 characters" in result.stdout
