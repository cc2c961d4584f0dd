"""What a person sees during training and after it."""

import json
import math
import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from support.commands import SMALL, quickstart_on, run
from support.screens import CODE, Screen, shown
from support.training import TINY
from typer.testing import Result

import charlm
from charlm.cli.console import PlainConsole
from charlm.cli.progress import TrainingView
from charlm.cli.samples import Samples
from charlm.cli.tables import show_texts
from charlm.cli.transfer import TransferView
from charlm.runs.folder import RunFolder
from charlm.training.events import Event, Finished, NetworkBegins, Sampled, Stepped, StopRequested
from charlm.training.step_result import StepResult

BAR = re.compile("[█░]+")
FIELD = (
    r"[█░]{20,30}| *\d+%|loss +[\d.]+ bits|best +[\d.]+| *[\d.]+[kM]? chars/s|"
    r" *[\d:]+| *[\d:]+ left|network \d/\d|run"
)


class Clock:
    """A clock that advances by a number of seconds at each reading."""

    def __init__(self, seconds: float) -> None:
        self._seconds = count(0.0, seconds)

    def __call__(self) -> float:
        return next(self._seconds)


@pytest.fixture(autouse=True)
def a_terminal_that_can_erase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "JPY_PARENT_PID", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


def watch(
    text: Path, runs: Path, *settings: str, columns: int = 80, seconds: float = 1.0
) -> tuple[str, str, Finished]:
    """Train on a terminal with the clock of the view; return what was written to both streams."""
    out, err = Screen(), Screen()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        patch.setenv("COLUMNS", str(columns))
        view = TrainingView(clock=Clock(seconds))
        finished = charlm.train(
            "quickstart",
            text=text,
            runs=runs,
            name="run",
            settings=[*TINY, *settings],
            on_event=view,
        )
    return out.written, err.written, finished


def drawn(written: str) -> list[str]:
    """Return each version of the line of progress."""
    return re.findall(r"\r\x1b\[J([^\r\n]+)\r", written)


@pytest.mark.parametrize("columns", [40, 60, 79, 80, 120, 200])
def test_the_line_has_whole_fields(columns: int, text_file: Path, tmp_path: Path) -> None:
    """At every width, the line fits and consists of whole fields; the bar has 20 to 30 cells."""
    settings = ("training.steps=12", "training.validate_every=4")
    _, written, _ = watch(text_file, tmp_path, *settings, columns=columns)
    lines = drawn(written)
    assert len(lines) > 8
    for line in lines:
        assert cell_len(line) < columns
        assert line == line.rstrip()
        assert re.fullmatch(rf" (?:{FIELD})(?:  (?:{FIELD}))*", line), line
    assert BAR.match(lines[-1][1:])
    assert ("loss" in lines[-1]) == (columns >= 40)
    assert ("chars/s" in lines[-1] and "run" in lines[-1]) == (columns >= 79)


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_no_line_ends_with_blanks(columns: int, text_file: Path, tmp_path: Path) -> None:
    """Neither messages, nor samples, tables or the curve; and no version of the line is left."""
    settings = ("training.steps=40", "training.validate_every=8", "generation.length=400")
    out, err, _ = watch(text_file, tmp_path, *settings, columns=columns, seconds=20.0)
    for written in (out, err):
        rows = shown(written, columns)
        assert [row for row in rows if row != row.rstrip()] == []
        assert not BAR.search("".join(row for row in rows if "left" in row))
    assert "test perplexity" in out


def test_a_narrowed_terminal_keeps_nothing(text_file: Path, tmp_path: Path) -> None:
    """A line that a narrower terminal wraps is erased whole: the cursor waits where it begins."""
    _, written, _ = watch(text_file, tmp_path, "training.steps=6", columns=120)
    assert drawn(written)
    assert not BAR.search(re.sub(r"\r\x1b\[J[^\r\n]*\r(?=\r\x1b\[J)", "", written))


@pytest.mark.parametrize("is_best", [True, False])
def test_samples_are_rare_and_of_better_models(
    is_best: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of better models, one sample in 30 seconds is shown; of others none."""
    monkeypatch.setattr(sys, "stderr", Screen(is_terminal=False))
    now = 0.0
    samples = Samples(PlainConsole(stderr=True), lambda: now)
    times = []
    for _ in range(200):
        now += 1.7
        samples.keep(Sampled(1, 1.0, None, "a b " * 100), is_better=is_best)
        if samples.is_waiting:
            times.append(now)
            samples.show()
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert bool(times) == is_best
    assert all(30 <= gap < 32 for gap in gaps)


def test_a_sample_is_one_paragraph(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample is wrapped at words, to lines that fit, and cut after eight."""
    monkeypatch.setattr(sys, "stderr", err := Screen(is_terminal=False))
    samples = Samples(PlainConsole(stderr=True), lambda: 0.0)
    text = "\n\n".join(["word  other\tthird"] * 100)
    samples.keep(Sampled(1, 1.0, None, text), is_better=True)
    samples.show()
    lines = err.written.splitlines()
    assert len(lines) == 8
    assert all(line.startswith("  ") and len(line) < 80 for line in lines)
    words = " ".join(lines).removesuffix("...").split()
    assert words == text.split()[: len(words)]


def test_the_last_sample_is_shown_once(text_file: Path, tmp_path: Path) -> None:
    """The text of the last validation is that of the finished run, and stands there alone."""
    settings = ("training.steps=8", "training.validate_every=8", "generation.length=60")
    out, err, finished = watch(text_file, tmp_path, *settings, columns=200, seconds=60.0)
    words = finished.sample.split()
    assert " ".join(words) in " ".join(out.split())
    assert " ".join(words) not in " ".join(err.split())
    assert finished.sample in finished.folder.samples.read_text("utf-8")


def stepped(step: int, seconds: float, progress: float) -> Stepped:
    result = StepResult(step, step / 10, seconds, 100, 0.1, 2.0, None, 1.0, 0.1)
    return Stepped(result, progress, seconds)


@pytest.fixture
def started(text_file: Path, tmp_path: Path) -> Iterator[Any]:
    """The first event of a training."""
    events: list[Event] = []
    settings = [*TINY, "training.steps=1"]
    charlm.train(
        "quickstart", text=text_file, runs=tmp_path, settings=settings, on_event=events.append
    )
    return iter(events)


@pytest.mark.parametrize("size", [1, 2])
def test_a_line_names_the_network(
    size: int, started: Iterator[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the run folder of the ensemble; a single network, with n-grams, needs no number."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "stderr", err := Screen())
    view = TrainingView()
    event = next(started)
    view(NetworkBegins(RunFolder(Path("runs/novel")), 1, size, is_student=False))
    view(event)
    assert drawn(err.written)[-1].endswith("network 1/2  novel" if size == 2 else "0:00  novel")
    assert ("network 1" in err.written) == (size == 2)


def test_a_log_gets_a_line_in_ten_seconds(
    started: Iterator[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not a terminal gets plain lines, at least ten seconds and one percent apart."""
    now = 0.0
    monkeypatch.setattr(sys, "stderr", Screen(is_terminal=False))
    view = TrainingView(clock=lambda: now)
    view(next(started))
    monkeypatch.setattr(sys, "stderr", err := Screen(is_terminal=False))
    for step in range(1, 5001):
        now = step / 10
        view(stepped(step, now, step / 50_000))
    lines = err.written.splitlines()
    assert 9 <= len(lines) <= 10  # 500 seconds, and a tenth of the training
    for line in lines:
        assert re.match(r"step +[\d,]+   ?\d+%  loss 2\.89 bits  ", line), line
        assert "\x1b" not in line and not BAR.search(line)


@pytest.mark.parametrize(
    ("name", "value", "has_line", "has_style"),
    [
        ("TERM", "xterm", True, True),
        ("NO_COLOR", "1", True, False),
        ("TERM", "dumb", False, False),
        ("JPY_PARENT_PID", "7", False, False),
    ],
)
def test_a_screen_gets_what_it_can_show(
    name: str, value: str, has_line: bool, has_style: bool, text_file: Path, tmp_path: Path
) -> None:
    """NO_COLOR forbids styles; a dumb terminal and a notebook also cannot redraw a line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(name, value)
        out, err, _ = watch(text_file, tmp_path, "training.steps=4", seconds=6.0)
    assert bool(drawn(err)) == has_line
    assert ("\x1b[" in err) == has_line
    assert bool(re.search(r"\x1b\[[\d;]*m", err + out)) == has_style
    if not has_line:
        assert re.search(r"^step +\d+  \d+%  loss", err, re.MULTILINE)


def test_an_ascii_screen_gets_ascii(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bar and curve are ASCII where the locale is: Python writes UTF-8 there nevertheless."""
    monkeypatch.setattr("locale.getencoding", lambda: "ANSI_X3.4-1968")
    settings = ("training.steps=10", "training.validate_every=2", "training.learning_rate=0.02")
    out, err, _ = watch(text_file, tmp_path, *settings)
    assert re.search("#+-+", drawn(err)[1])
    assert "validation loss, bits per character" in out
    assert not re.search("[█▁░]", out + err)


@pytest.mark.parametrize("terminal", ["xterm", "dumb"])
def test_a_stop_replaces_the_line(
    terminal: str, started: Iterator[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The `^C` that a terminal writes at the cursor stands neither before nor after the line."""
    pty = pytest.importorskip("pty")
    monkeypatch.setenv("TERM", terminal)
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        now = count(0.0, 1.0)
        view = TrainingView(clock=lambda: next(now))
        view(next(started))
        view(stepped(1, 1.0, 0.5))
        stream.write("^C")
        stream.flush()
        view(StopRequested())
        view(stepped(2, 2.0, 0.6))
    written = b""
    with suppress(OSError):  # Linux raises one when all was read
        while piece := os.read(leader, 1 << 16):
            written += piece
    os.close(leader)
    text = written.decode().replace("\r\n", "\n")
    rows = [row for row in shown(text, 80) if row]
    assert rows[-1] == "saving; Ctrl-C again stops without saving"
    assert not BAR.search("".join(rows))
    assert ("^C" in rows) == (terminal == "dumb")


def test_the_book_has_its_line(text_file: Path, tmp_path: Path) -> None:
    """Without validation, samples stand below the epoch and its perplexity, as in the book."""
    settings = ["training.epochs=2", "batches.batch_size=16", "batches.random_offset=false"]
    settings += ["training.validate_every=1", "corpus.split=[1,0,0]"]
    out, err, finished = watch(text_file, tmp_path, *settings, columns=200)
    log = [json.loads(line) for line in finished.folder.metrics.read_text("utf-8").splitlines()]
    losses = [line["epoch_loss"] for line in log if "epoch_loss" in line]
    for epoch, loss in enumerate(losses, 1):
        expected = rf"^epoch {epoch}, perplexity {math.exp(loss):.3f}, time \d+\.\d\d sec$"
        assert re.search(expected, "\n".join(shown(err, 200)), re.MULTILINE)
    samples = [row for row in shown(err, 200) if row.startswith(" - ")]
    assert len(samples) > 2
    assert "perplexity" in drawn(err)[-1] and "bits" not in drawn(err)[-1]
    assert f"training perplexity  {math.exp(losses[-1]):.3f}" in CODE.sub("", out)


def test_the_next_commands_run(text_file: Path, tmp_path: Path) -> None:
    """The commands that a finished run names work, and resuming takes as many steps again."""
    runs = tmp_path / "my runs"
    steps = ("--set=training.steps=4", "--set=training.learning_rate=0.02")
    result = run("train", "quickstart", "--text", text_file, "--runs", runs, *steps, *SMALL)
    path = result.stdout.splitlines()[-1]
    commands = result.stderr.partition("\nnext\n")[2].splitlines()
    assert [shlex.split(command)[:2] for command in commands] == [
        ["charlm", "generate"],
        ["charlm", "train"],
    ]
    for command in commands:
        done = run(*shlex.split(command)[1:])
        assert done.exit_code == 0, done.output
    assert "8 steps" in done.stdout and done.stdout.splitlines()[-1] == path
    assert not (runs / "quickstart-2").exists()


def test_a_short_text_is_no_measurement(tmp_path: Path) -> None:
    """The meaning of a perplexity is printed beside it, or that the characters are too few."""
    (text := tmp_path / "text").write_text("rain and snow\n" * 12)
    settings = ("--set=training.steps=2", "--runs", tmp_path / "runs", "--name", "short")
    result = run("train", "quickstart", "--text", text, *SMALL, *settings)
    table = result.stdout + run("eval", tmp_path / "runs" / "short").stdout
    assert len(re.findall(r"as unsure as a choice among [\d.]+ characters", table)) == 2
    assert len(re.findall(r"note +\d+ characters are too few to measure", table)) == 2


def learn_by_heart(folder: Path) -> Result:
    """Train a model on a text that says nothing about its validation and test text."""
    training, other = folder / "training", folder / "other"
    training.write_text("rain and snow\n" * 60)
    other.write_text("dna niar won\ns" * 60)
    settings = ("--set=training.steps=60", "--set=training.learning_rate=0.03")
    paths = (f"--set=corpus.validation_paths={other}", f"--set=corpus.test_paths={other}")
    return run(*quickstart_on(training, folder), *SMALL, *settings, *paths)


def test_a_text_learnt_by_heart_says_so(tmp_path: Path) -> None:
    """The loss of the last weights on what they read is compared with their last validation."""
    result = learn_by_heart(tmp_path)
    assert result.exit_code == 0, result.output
    sentence = r"memorised: (\S+) on its training text, (\S+) on other text"
    note = re.search(sentence, result.stdout)
    assert note, result.stdout
    table = dict(re.findall(r"^(\w+ perplexity) +([\d.]+)", result.stdout, re.MULTILINE))
    assert note[1] == f"{float(table['training perplexity']):.1f}"
    assert float(note[2].replace(",", "")) > 2 * float(note[1])
    step = re.search(r"best checkpoint, step (\d+)", result.stdout)
    assert step and int(step[1]) < 60
    assert f"the checkpoint of step {step[1]} predicts best" in result.stdout


def test_eval_says_what_was_learnt_by_heart(tmp_path: Path) -> None:
    """A held-out split is compared with the training loss of the checkpoint; no other text is."""
    result = learn_by_heart(tmp_path)
    last = Path(result.stdout.splitlines()[-1]) / "checkpoints" / "last.safetensors"
    note = re.search(r"memorised: (\S+) on its training text", run("eval", last).stdout)
    log = (last.parent.parent / "metrics.jsonl").read_text("utf-8").splitlines()
    losses = [loss for line in log if (loss := json.loads(line).get("epoch_loss"))]
    assert note and note[1] == f"{math.exp(losses[-1]):.1f}"
    for options in (("--split", "train"), ("--text", tmp_path / "other"), ("--dynamic",)):
        assert "memorised" not in run("eval", last, *options).stdout


def test_a_run_without_split_scores_what_it_read(text_file: Path, tmp_path: Path) -> None:
    """The command that scores an ensemble without a held-out split runs: it names the split."""
    settings = ("--set=training.steps=2", "--set=corpus.split=[1,0,0]", "--set=ensemble.members=2")
    runs = ("--runs", tmp_path, "--name", "whole")
    result = run("train", "quickstart", "--text", text_file, *runs, *SMALL, *settings)
    command = result.stderr.splitlines()[-1].strip()
    assert command == f"charlm eval {tmp_path / 'whole'} --split train"
    assert run(*shlex.split(command)[1:]).exit_code == 0


def test_tables_have_no_blanks_at_their_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither on a terminal, where headings are bold, nor in a file."""
    monkeypatch.setenv("COLUMNS", "70")
    for is_terminal in (True, False):
        monkeypatch.setattr(sys, "stdout", out := Screen(is_terminal=is_terminal))
        show_texts([("a", "yes", "short"), ("bcd", "no", "a longer text " * 9)], Path("cache"))
        assert ("\x1b[1m" in out.written) == is_terminal
        lines = CODE.sub("", out.written).splitlines()
        assert len(lines) == (5 if is_terminal else 3)
        assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize("columns", [30, 80])
def test_a_download_shows_what_arrived(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its line fits, reaches the size of the text, and is erased at the end."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys, "stderr", err := Screen())
    view = TransferView("faust", 2_000_000, clock=Clock(1.0))
    for _ in range(20):
        view(100_000)
    view.close()
    lines = drawn(err.written)
    assert len(lines) == 20 and all(cell_len(line) < columns for line in lines)
    assert "0.1 of 2.0 MB" in lines[0] and "2.0 of 2.0 MB" in lines[-1]
    assert (f"{'█' * 20}  2.0 of 2.0 MB  faust" in lines[-1]) == (columns == 80)
    assert "".join(shown(err.written, columns)) == ""
