"""`charlm eval` with several runs: the table and the JSON."""

import json
import statistics
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from support.commands import refused, run, train
from support.texts import TEXT

from charlm.corpus.fingerprints import digest_of_text
from charlm.environment.version import charlm_version
from charlm.runs.checkpoint import read_checkpoint, write_checkpoint


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs that differ in their seed, and one with another cell."""
    folder = tmp_path_factory.mktemp("runs")
    text = folder / "novel.txt"
    text.write_text(TEXT, "utf-8")
    for name, *options in (
        ("one", "--seed=1"),
        ("two", "--seed=2"),
        ("gru", "--set=model.cell=gru"),
    ):
        train(text, folder / "runs", "--name", name, *options)
    return folder / "runs"


def rows(output: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split() for line in output.splitlines()}


def test_several_runs_are_a_table(runs: Path) -> None:
    """Each run has a row with its size and scores; runs of other seeds have mean and deviation."""
    names = ("one", "gru", "two")
    result = run("eval", *(runs / name for name in names))
    assert result.exit_code == 0, result.output
    table = rows(result.stdout)
    scores = {name: json.loads(run("eval", runs / name, "--json").stdout) for name in names}
    for name in names:
        score = scores[name]
        for figure in (score["perplexity"], score["bits_per_character"]):
            assert f"{figure:.4f}" in table[name]
        assert f"{score['parameters']:,}" in table[name]
        assert score["cell"] in table[name]
        assert "the test split of novel.txt" in " ".join(table[name])
    seeds = [scores[name]["perplexity"] for name in ("one", "two")]
    assert f"{statistics.fmean(seeds):.4f}" in table["mean"]
    assert f"{statistics.stdev(seeds):.4f}" in table["mean"]
    assert "2 seeds" in " ".join(table["mean"])
    assert "bits per byte" not in result.stdout
    assert "not comparable" not in result.stdout
    assert result.stdout.count("protocol: exact") == 1
    for name in names:  # the interval of each run is that of its JSON
        low, high = scores[name]["interval"]["bits_per_character"]
        assert " ".join(table[name]).endswith(f"{low:.4f} to {high:.4f}")


def test_unknown_characters_add_bits_per_byte(runs: Path, tmp_path: Path) -> None:
    text = tmp_path / "other.txt"
    text.write_text("The train came in ☃ and nobody looked up.\n", "utf-8")
    result = run("eval", runs / "one", runs / "gru", "--text", text)
    score = json.loads(run("eval", runs / "gru", "--text", text, "--json").stdout)
    assert "bits per byte" in result.stdout.splitlines()[0]
    assert f"{score['bits_per_byte']:.4f}" in rows(result.stdout)["gru"]


def test_a_warning_stands_first(runs: Path, tmp_path: Path) -> None:
    """Of a text in a foreign script, the perplexity means nothing: a warning says so before it."""
    text = tmp_path / "foreign.txt"
    text.write_text("поезд пришёл\n" * 9, "utf-8")
    shown = run("eval", runs / "one", "--text", text).stdout
    lines = [line.split("  ")[0] for line in shown.splitlines()]
    assert lines[:3] == ["text", "warning", "perplexity"]
    assert shown.count("outside the vocabulary") == 1
    assert "unsure" not in shown
    assert "warning" not in run("eval", runs / "one").stdout


def test_scores_of_other_texts_are_told_apart(runs: Path, tmp_path: Path) -> None:
    """The table says that scores of different texts cannot be compared, and gives no mean."""
    text = tmp_path / "novel.txt"
    text.write_text(TEXT[::-1], "utf-8")
    other = train(text, tmp_path / "runs", "--seed=2", "--name=two")
    result = run("eval", runs / "one", other)
    assert "not comparable: the runs are scored on different texts" in result.stdout
    assert "mean" not in result.stdout


def test_runs_of_one_name_have_their_paths(runs: Path) -> None:
    checkpoints = [
        runs / "one" / "checkpoints" / f"{name}.safetensors" for name in ("best", "last")
    ]
    table = rows(run("eval", *checkpoints).stdout)
    assert {str(path) for path in checkpoints} <= set(table)


def test_json_of_eval_stands_alone(runs: Path) -> None:
    """The object names run, step, seed, text, protocol, version and time."""
    result = run("eval", runs / "two", "--json")
    score = json.loads(result.stdout)
    checkpoint = read_checkpoint(Path(score["checkpoint"]))
    assert (score["run"], score["name"]) == (str(runs / "two"), "two")
    assert (score["step"], score["seed"]) == (4, 2)
    digest = digest_of_text([str(runs.parent / "novel.txt")], checkpoint.config.corpus)
    length = len(TEXT)
    assert score["text"] == {
        "name": "the test split of novel.txt",
        "digest": digest,
        "start": length - score["characters"] - 1,
        "end": length,
    }
    assert score["protocol"].startswith("exact")
    assert score["charlm"] == charlm_version()
    age = datetime.now(UTC) - datetime.fromisoformat(score["scored_at"])
    assert timedelta(0) <= age < timedelta(hours=1)


def test_json_of_several_runs_is_a_list(runs: Path) -> None:
    """The objects come in the order of the arguments, each as for the run alone."""
    scores = json.loads(run("eval", runs / "two", runs / "one", "--json").stdout)
    assert [score["name"] for score in scores] == ["two", "one"]
    alone = json.loads(run("eval", runs / "one", "--json").stdout)
    assert {**scores[1], "scored_at": ""} == {**alone, "scored_at": ""}


def test_what_several_runs_cannot_share(runs: Path, tmp_path: Path) -> None:
    """Standard input and the file of --save serve one run; nothing is scored before the error."""
    both = (runs / "one", runs / "two")
    refused(run("eval", *both, "--text", "-", stdin=b"The rain"), "standard input", "--text")
    saved = tmp_path / "adapted.safetensors"
    refused(run("eval", *both, "--dynamic", "--save", saved), "--save takes one run")
    assert not saved.exists()


@pytest.mark.parametrize("options", [(), ("--rows=2",), ("--dynamic",)])
def test_each_figure_has_an_interval(runs: Path, options: tuple[str, ...]) -> None:
    """In the table and in the JSON, with the block length; however the text is scored."""
    text = runs.parent / "random.txt"  # in which there is nothing to learn, so that losses stay
    text.write_text("".join(Random(0).choices(TEXT, k=2000)), "utf-8")
    options = (*options, f"--text={text}")
    found = json.loads(run("eval", runs / "one", "--json", *options).stdout)
    interval = found["interval"]
    for name in ("nats_per_character", "perplexity", "bits_per_character", "bits_per_byte"):
        low, high = interval[name]
        assert low < found[name] < high
    shown = run("eval", runs / "one", *options).stdout
    (line,) = [line for line in shown.splitlines() if line.startswith("95 % interval")]
    low, high = interval["perplexity"]
    assert f"perplexity {low:.4f} to {high:.4f}" in line
    assert f"blocks of {interval['block_length']} character" in line


def test_a_short_text_has_no_interval(runs: Path, tmp_path: Path) -> None:
    """Few predictions say little about how others vary: the reason is there instead."""
    text = tmp_path / "short.txt"
    text.write_text("The train came in.\n", "utf-8")
    arguments = ("eval", runs / "one", "--text", text)
    found = json.loads(run(*arguments, "--json").stdout)
    assert found["interval"] is None
    assert found["no_interval"].startswith("too short for an interval")
    assert f"none: the text is {found['no_interval']}" in run(*arguments).stdout
    assert "interval" not in run("eval", runs / "one", runs / "two", "--text", text).stdout


def test_baselines_stand_beside_the_score(runs: Path) -> None:
    """On the same characters: in the table, sorted, and in the JSON."""
    found = json.loads(run("eval", runs / "one", "--json", "--baselines").stdout)
    baselines = found["baselines"]
    assert {"uniform", "single characters", "n-grams", "xz", "bzip2", "zlib"} <= set(baselines)
    shown = run("eval", runs / "one", "--baselines").stdout.split("\n\n")[1].splitlines()
    lines = [line.rsplit("(")[0].split() for line in shown[1:]]
    figures = {" ".join(words[:-1]): float(words[-1]) for words in lines}
    assert list(figures.values()) == sorted(figures.values())
    assert figures.pop("this model") == pytest.approx(found["bits_per_character"], abs=1e-4)
    for name, figure in figures.items():
        assert figure == pytest.approx(baselines[name]["bits_per_character"], abs=1e-4)
    refused(run("eval", runs / "one", runs / "two", "--baselines"), "--baselines takes one run")


def test_unequal_steps_of_seeds_are_said(runs: Path, tmp_path: Path) -> None:
    """The mean of checkpoints with different numbers of steps says so."""
    assert "unequal" not in run("eval", runs / "one", runs / "two").stdout
    settings = read_checkpoint(runs / "two/checkpoints/best.safetensors")
    longer = replace(settings, training_counters={"step": 8})
    write_checkpoint(tmp_path / "longer.safetensors", longer)
    result = run("eval", runs / "one", tmp_path / "longer.safetensors")
    assert "unequal steps: the mean of 2 seeds is of runs of 4 to 8 steps" in result.stdout
