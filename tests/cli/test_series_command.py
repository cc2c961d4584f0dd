"""`charlm train --seeds --sweep`: what it reads, prints and refuses."""

import json
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from support.commands import SMALL, refused, run
from support.json_events import events_of
from typer.testing import Result

from charlm.cli.sweeps import parse_seeds, parse_sweep
from charlm.errors import CharlmError
from charlm.prediction.timed_scoring import TimeLimit
from charlm.training import time_budget
from charlm.training.step_result import StepResult
from charlm.training.trainer import Trainer


def train(text: Path, *arguments: object) -> Result:
    runs = ("--runs", text.parent / "runs", "--set=training.steps=4")
    return run("train", "quickstart", text, *runs, *SMALL, *arguments)


@pytest.mark.parametrize(
    ("written", "seeds"),
    [("0-2", [0, 1, 2]), ("0,3,7", [0, 3, 7]), (" 5 ", [5]), ("0-1, 7", [0, 1, 7])],
)
def test_seeds_are_numbers_and_ranges(written: str, seeds: list[int]) -> None:
    assert parse_seeds(written) == seeds


@pytest.mark.parametrize("written", ["", "a", "2-0", "0-", "-1", "0,,1", "1.5", "0-99999", "²"])
def test_other_seeds_are_refused(written: str) -> None:
    with pytest.raises(CharlmError, match="--seeds"):
        parse_seeds(written)


def test_commas_in_brackets_divide_no_values() -> None:
    """A value may be a list or a quoted text with commas."""
    sweep = parse_sweep(["a.b=[0.8, 0.1,0.1],0.9", "c.d='x,[y', \"z\"", "e.f={a: b, c: d}"])
    assert sweep == {
        "a.b": ["[0.8, 0.1,0.1]", "0.9"],
        "c.d": ["'x,[y'", '"z"'],
        "e.f": ["{a: b, c: d}"],
    }


@pytest.mark.parametrize("written", [["cell=gru"], ["a.b"], ["a.b=1,,2"], ["a.b=1", "a.b=2"]])
def test_other_sweeps_are_refused(written: list[str]) -> None:
    with pytest.raises(CharlmError, match="--sweep"):
        parse_sweep(written)


def test_a_series_ends_in_a_table(text_file: Path) -> None:
    """The table has each run, the mean and deviation of each setting, and the best run."""
    result = train(text_file, "--sweep=model.cell=gru,lstm", "--seeds=0-1", "--name=x")
    assert result.exit_code == 0, result.output
    names = [f"x-cell-{cell}-s{seed}" for cell in ("gru", "lstm") for seed in (0, 1)]
    heading, *rows = result.stdout.splitlines()
    assert "validation perplexity" in heading and "test perplexity" in heading
    assert [row.split()[0] for row in rows[:6]] == [*names[:2], "mean", *names[2:], "mean"]
    assert rows[2].startswith("mean of 2 seeds") and "± 0." in rows[2]
    assert "±: sample standard deviation over the seeds of a setting" in rows
    scores = [float(row.split()[4]) for row in rows if row.startswith("x-")]
    best = names[scores.index(min(scores))]
    assert [row.split()[0] for row in rows if row.rstrip().endswith("  best")] == [best]
    assert rows[-1].endswith(f"runs/{best}")
    heading, generate, compare, score = result.stderr.splitlines()[-4:]
    paths = [str(Path(rows[-1].split(": ")[1]).parent / name) for name in names]
    groups = (f"gru={','.join(paths[:2])}", f"lstm={','.join(paths[2:])}")
    assert heading == "next" and generate.split()[:2] == ["charlm", "generate"]
    assert generate.endswith(f"/{best}")
    assert compare.split() == ["charlm", "compare", "--group", groups[0], "--group", groups[1]]
    assert score.split() == ["charlm", "eval", *paths]
    assert run(*compare.split()[1:]).exit_code == run(*score.split()[1:]).exit_code == 0
    assert "4 runs, one after another" in result.stderr
    assert "run 3 of 4" in result.stderr


def test_a_series_without_held_out_text(text_file: Path) -> None:
    """Where nothing is held out, the table has the training perplexity, and no run is the best."""
    result = train(text_file, "--set=corpus.split=[1,0,0]", "--seeds=0-1")
    assert result.exit_code == 0, result.output
    heading, *rows = result.stdout.splitlines()
    assert heading.split() == ["run", "seed", "steps", "training", "perplexity"]
    figures = [float(row.split()[3]) for row in rows[:2]]
    assert all(figure > 1 for figure in figures) and rows[2].startswith("mean of 2 seeds")
    assert rows[-1] == "no run is the best: no validation loss selects one"
    *_, compare, score = result.stderr.splitlines()
    assert compare.startswith("  charlm compare ") and compare.endswith(" --split train")
    assert run(*shlex.split(score)[1:]).exit_code == 0


def test_the_total_budget_is_said_first(text_file: Path) -> None:
    """A budget is that of a run; the series says what all runs take."""
    arguments = [argument for argument in SMALL if "budget" not in argument]
    runs = ("--runs", text_file.parent, "--budget=0.1s", "--seeds=0-1", "--quiet")
    quiet = run("train", "quickstart", text_file, *runs, *arguments)
    assert quiet.exit_code == 0 and quiet.stderr == ""
    assert quiet.stdout.splitlines() == [str(text_file.parent / f"text-s{n}") for n in (0, 1)]
    told = run("train", "quickstart", text_file, *runs[:-1], *arguments)
    assert "2 runs of 0.1s each, one after another: 0.2s in all" in told.stderr


def test_charlm_chooses_for_a_series(text_file: Path) -> None:
    """A pair of cells is one short command; the time may be swept, too."""
    small = ("--set=ensemble.members=1", "--set=generation.length=5", "--runs", text_file.parent)
    about = ("--sweep", "training.budget=0.2s,0.3s", "--set=model.hidden_size=8", *small)
    result = run("train", text_file, "--sweep", "model.cell=gru,lstm", *about)
    assert result.exit_code == 0, result.output
    assert "for at most 1s in all" in result.stderr
    assert result.stdout.count("text-cell-") >= 4


def test_events_of_a_series_carry_their_run(text_file: Path) -> None:
    """With --json, each event has its run, and the last one all results."""
    arguments = ("--sweep=model.cell=gru,lstm", "--seeds=0,4", "--json", "--name=x")
    events = events_of(train(text_file, *arguments))
    ends = [event for event in events if event["event"] == "finished"]
    planned, last = events[0]["runs"], events[-1]
    assert [end["run"] for end in ends] == [one["run"] for one in planned]
    assert [one["seed"] for one in planned] == [0, 4, 0, 4]
    perplexities = [end["score"]["perplexity"] for end in ends]
    assert [one["perplexity"] for one in last["runs"]] == perplexities
    gru = last["settings"][0]
    assert gru["settings"] == {"model.cell": "gru"} and gru["num_runs"] == 2
    assert gru["perplexity"]["mean"] == pytest.approx(sum(perplexities[:2]) / 2)
    difference = abs(perplexities[0] - perplexities[1])
    assert gru["perplexity"]["deviation"] == pytest.approx(difference / 2**0.5)
    assert last["best"] in [one["run"] for one in planned]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
def test_ctrl_c_stops_the_series(text_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C saves the run and begins no other; the same command continues, and ends."""
    take_step, steps = Trainer.take_step, 0

    def interrupted(self: Trainer, *arguments: Any) -> StepResult:
        nonlocal steps
        steps += 1
        if steps == 6:  # the second step of the second run
            os.kill(os.getpid(), signal.SIGINT)
        return take_step(self, *arguments)

    monkeypatch.setattr(Trainer, "take_step", interrupted)
    stopped = train(text_file, "--seeds=0-2")
    assert stopped.exit_code == 130 and stopped.stdout == ""
    assert stopped.stderr.endswith("stopped; the same command continues the series\n")
    assert {path.name for path in (text_file.parent / "runs").glob("text*")} == {
        "text-s0",
        "text-s1",
    }
    assert train(text_file, "--seeds=0-2").exit_code == 0
    assert steps == 3 * 4
    log = (text_file.parent / "runs" / "text-s1" / "metrics.jsonl").read_text().splitlines()
    assert [x["step"] for x in map(json.loads, log) if "loss" in x] == [1, 2, 3, 4]


def test_a_diverged_run_is_marked(text_file: Path) -> None:
    """The error of a run that diverges is printed, and the exit code is 1; the table has all."""
    rates = ("max_gradient_norm=null", "optimizer=sgd", "warmup_steps=0", "max_rollbacks=0")
    settings = [f"--set=training.{setting}" for setting in rates]
    cell = ("--set=model.cell=rnn", "--set=model.nonlinearity=relu")
    sweep = "--sweep=training.learning_rate=1e9,0.01"
    result = train(text_file, *settings, *cell, sweep)
    assert result.exit_code == 1
    diverged, good = result.stdout.splitlines()[1:3]
    assert diverged.rstrip().endswith("diverged") and good.rstrip().endswith("best")
    assert "charlm: " in result.stderr and "Traceback" not in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seeds=0-1", "--seed=3"], ["--seeds"]),
        (["--sweep=model.cell=gru,lstm", "--cell=gru"], ["--cell is both set and swept"]),
        (["--sweep=model.cel=gru,lstm"], ["model.cel is not a key; did you mean model.cell?"]),
        (["--sweep", "cell=gru,lstm"], ["cell is not a key; use --sweep model.cell=gru,lstm"]),
        (["--sweep", "layers=1, 2"], ["use --sweep model.num_layers=1,2"]),
        (["--sweep", "seed=1,2"], ["use --seeds 1,2"]),
        (["--seed", "0-2"], ["--seed is 0-2: a run has one value", "--seeds 0-2"]),
        (["--seed", "0,3"], ["--seed is 0,3: a run has one value", "--seeds 0,3"]),
        (["--cell", "gru,lstm"], ["--cell is gru,lstm: a run has", "--sweep model.cell=gru,lstm"]),
        (["--set", "model.cell=gru,lstm"], ["--sweep model.cell=gru,lstm"]),
        (["--layers", "1,2", "--seeds=0-1"], ["--sweep model.num_layers=1,2"]),
        (["--seeds=0-1", "--resume=x"], ["cannot be combined with --resume"]),
        (["--seeds=0-1", "--print-config"], ["--print-config"]),
    ],
)
def test_a_mistake_in_a_series_is_one_line(
    text_file: Path, arguments: list[str], words: list[str]
) -> None:
    refused(train(text_file, *arguments), *words)
    assert not (text_file.parent / "runs").exists()


def test_other_validations_have_a_remedy(text_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that were validated on different characters have no best; a command compares them."""
    limits = iter((50, 20))
    monkeypatch.setattr(time_budget, "characters_in", lambda *_: next(limits))
    monkeypatch.setattr(TimeLimit, "choose", lambda *_: (1, None))
    result = train(text_file, "--seeds=0-1", "--set=training.budget=9m")
    assert result.exit_code == 0, result.output
    mean = next(line for line in result.stdout.splitlines() if line.startswith("mean of 2"))
    assert mean.count("±") == 2  # of the test split
    table, command = result.stdout.split("no run is the best: ")
    assert command.startswith("the runs are validated on different characters of the text")
    runs = " ".join(str(text_file.parent / "runs" / f"text-s{seed}") for seed in (0, 1))
    assert f"  charlm eval {runs} --split validation" in command.splitlines()
    assert "charlm" not in result.stderr.partition("run 2 of 2")[2]
    assert "best" not in table + command
