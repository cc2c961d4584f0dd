"""A time budget covers the whole command, by a clock that the work itself advances."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.texts import TEXT
from support.training import TINY

import charlm
from charlm.cli.limits import describe_rest
from charlm.config.values import parse_duration
from charlm.errors import RunError
from charlm.models.language_model import LanguageModel
from charlm.models.ngrams import KernelNGrams, NumpyNGrams
from charlm.prediction.timed_scoring import characters_in
from charlm.runs.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from charlm.runs.folder import RunFolder
from charlm.training import command_clock, start
from charlm.training.command_clock import CommandClock
from charlm.training.events import (
    Advised,
    Event,
    Finished,
    Mixing,
    Started,
    Stepped,
    Validated,
)
from charlm.training.time_budget import tail_seconds
from charlm.training.time_shares import TAIL_SHARE

STEP_SECONDS = 0.5
HELD_OUT = ["corpus.split=[0.4,0.3,0.3]", "training.validate_every=20", "training.save_every=null"]


class Machine:
    """A machine whose clock only work advances: each step, and each character that is scored."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, characters_per_second: float) -> None:
        self.now, self.events = 0.0, list[Event]()
        forward = LanguageModel.forward

        def slow_forward(model: LanguageModel, inputs: Any, state: Any) -> Any:
            self.now += inputs.numel() / characters_per_second
            return forward(model, inputs, state)

        monkeypatch.setattr(LanguageModel, "forward", slow_forward)
        for kind in (KernelNGrams, NumpyNGrams):
            self._slow_down(monkeypatch, kind, "count", 10 * characters_per_second)
            self._slow_down(monkeypatch, kind, "mix", 4 * characters_per_second)
        monkeypatch.setattr(command_clock, "seconds_awake", lambda: self.now)

    def _slow_down(
        self, monkeypatch: pytest.MonkeyPatch, kind: type, name: str, characters_per_second: float
    ) -> None:
        method = getattr(kind, name)

        def slow_method(ngrams: Any, ids: Any, *arguments: Any, **options: Any) -> Any:
            self.now += len(ids) / characters_per_second
            return method(ngrams, ids, *arguments, **options)

        monkeypatch.setattr(kind, name, slow_method)

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self.now += STEP_SECONDS * isinstance(event, Stepped)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def train(self, text: Path, runs: Path, *settings: str, starts: float = 0.0) -> Finished:
        """Train on a command line that has taken `starts` seconds when training is called.

        Nothing writes a report here, so none gets time.
        """
        clock = CommandClock()
        self.now += starts
        return start.train(
            "quickstart",
            text=text,
            runs=runs,
            settings=[*TINY, *HELD_OUT, "training.report=false", *settings],
            on_event=self,
            clock=clock,
        )


@pytest.fixture
def long_text(tmp_path: Path) -> Path:
    path = tmp_path / "long.txt"
    path.write_text(TEXT * 20, "utf-8")
    return path


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], Machine]:
    return lambda characters_per_second: Machine(monkeypatch, characters_per_second)


def train_until(last: int, here: Machine, text: Path, runs: Path, settings: list[str]) -> None:
    """Train `runs/run` until its receiver of events fails after a step."""

    class StopError(Exception):
        pass

    def stop(event: Event) -> None:
        here(event)
        if isinstance(event, Stepped) and event.step.step == last:
            raise StopError

    with pytest.raises(StopError):
        charlm.train(
            "quickstart", text=text, runs=runs, name="run", settings=settings, on_event=stop
        )


def test_a_report_gets_time_of_the_budget() -> None:
    """At most the share of everything at the end, however small the budget is."""
    with_report, without = (tail_seconds(60.0, 0.1, has_report=one) for one in (True, False))
    assert 0.1 <= with_report - without <= 1.0
    assert tail_seconds(1.0, 0.1, has_report=True) == TAIL_SHARE


@pytest.mark.parametrize("speed", [500.0, 2e3, 2e4, 1e9])
@pytest.mark.parametrize("starts", [0.0, 12.0])
def test_a_budget_covers_the_whole_command(
    speed: float, starts: float, long_text: Path, tmp_path: Path, machine: Any
) -> None:
    """Start, training, validations and the final score take the budget together."""
    here = machine(speed)
    here.train(long_text, tmp_path, "training.budget=60s", starts=starts)
    assert here.now == pytest.approx(60, abs=6)


@pytest.mark.parametrize(("speed", "is_whole"), [(600.0, False), (1e9, True)])
def test_a_long_split_is_scored_in_part(
    speed: float, is_whole: bool, long_text: Path, tmp_path: Path, machine: Any
) -> None:
    """A held-out split that takes too long is scored in part, and the score states this."""
    finished = machine(speed).train(long_text, tmp_path, "training.budget=60s")
    _, score = finished.held_out
    whole = charlm.evaluate(charlm.load(finished.folder.path), rows=16).characters
    assert (score.characters == whole) == is_whole
    said = f"scored on {score.characters:,} of {whole:,} characters"
    assert (said in finished.protocol) != is_whole
    assert (f"`charlm eval {finished.folder.path}` scores all" in finished.protocol) != is_whole


def test_steps_leave_the_time_to_the_score(long_text: Path, tmp_path: Path, machine: Any) -> None:
    """A run that ends early by another limit scores more than it had kept time for."""
    scored = [
        machine(600.0).train(long_text, tmp_path, f"training.steps={steps}", "training.budget=90s")
        for steps in (1, 1000)
    ]
    early, late = (finished.held_out[1].characters for finished in scored)
    assert early > late


def test_without_a_budget_all_is_scored(long_text: Path, tmp_path: Path, machine: Any) -> None:
    here = machine(1.0)
    finished = here.train(long_text, tmp_path, "training.steps=1", "training.budget=null")
    assert "scored on" not in finished.protocol
    assert not [line for said in here.of(Advised) for line in said.reasons if "time:" in line]
    counters = read_checkpoint(finished.folder.last).training_counters["run"]
    assert (counters["overhead"], counters["validation_characters"]) == (0, 0)


def test_short_budgets_validate_less(long_text: Path, tmp_path: Path, machine: Any) -> None:
    """A short budget limits the characters of each validation, and a resumed run keeps them."""
    here = machine(2e3)
    finished = here.train(long_text, tmp_path, "training.budget=60s")
    (number,) = {event.score.characters for event in here.of(Validated)}
    assert number < 10_000
    counters = read_checkpoint(finished.folder.last).training_counters["run"]
    limit = counters["validation_characters"]
    assert number <= limit < 1.1 * number
    ((line,),) = [said.reasons for said in here.of(Advised)]
    assert line.endswith(f"each validation scores {limit:,} characters")


@pytest.mark.parametrize(
    ("first", "later"),
    [
        (("training.budget=null", "training.steps=20"), "training.budget=60s"),
        (("training.budget=60s",), "training.budget=200s"),
        (("training.budget=60s",), "training.budget=null"),
    ],
)
def test_a_run_validates_on_one_text(
    first: tuple[str, ...], later: str, long_text: Path, tmp_path: Path, machine: Any
) -> None:
    """An extended run scores the characters of its best loss so far, whatever its budget."""
    here = machine(2e3)
    finished = here.train(long_text, tmp_path, *first)
    steps = f"training.steps={finished.step + 40}"
    charlm.resume(finished.folder.path, settings=[later, steps], on_event=here)
    validated = here.of(Validated)
    assert validated[-1].step > finished.step
    (characters,) = {event.score.characters for event in validated}
    assert (characters > 20_000) == (first[0] == "training.budget=null")


@pytest.mark.parametrize("limit", ["training.validation_characters=4000", "training.budget=60s"])
def test_streams_of_a_part_are_kept(
    limit: str, long_text: Path, tmp_path: Path, machine: Any
) -> None:
    """Where validation scores a part, other streams would score other characters."""
    here = machine(2e3)
    finished = here.train(long_text, tmp_path, "training.steps=20", limit)
    more, run = ["training.steps=25"], finished.folder
    before = read_checkpoint(run.last).training_counters
    message = r"validation_rows was 16 and is 4: each validation scores [\d,]+ characters"
    with pytest.raises(RunError, match=message):
        charlm.resume(run.path, settings=[*more, "training.validation_rows=4"])
    assert read_checkpoint(run.last).training_counters == before
    assert charlm.resume(run.path, settings=more).step == 25


def test_a_slow_start_leaves_time_to_train(long_text: Path, tmp_path: Path, machine: Any) -> None:
    """However slow start and scoring are, the network gets a quarter of the budget."""
    here = machine(20.0)
    finished = here.train(long_text, tmp_path, "training.budget=40s", starts=300.0)
    assert finished.step >= 0.25 * 40 / STEP_SECONDS - 1


def test_resumed_runs_take_what_is_left(long_text: Path, tmp_path: Path, machine: Any) -> None:
    """An extended run takes the added time, for its start and its score, too."""
    here = machine(2e3)
    finished = here.train(long_text, tmp_path, "training.budget=60s", starts=3.0)
    for _ in range(2):  # a finished run is only scored again, which costs it nothing
        clock, steps = CommandClock(), finished.step
        here.now += 3.0
        finished = start.resume(finished.folder.path, on_event=here, clock=clock)
        assert finished.step == steps
    clock = CommandClock()
    here.now += 3.0
    settings = ["training.budget=90s"]
    start.resume(finished.folder.path, settings=settings, on_event=here, clock=clock)
    assert clock.seconds() == pytest.approx(30, abs=5)


def test_a_stop_and_a_resumption_share_a_budget(
    long_text: Path, tmp_path: Path, machine: Any
) -> None:
    """A run that was stopped takes, with both commands, its budget and the second start."""
    here = machine(2e3)
    settings = [*TINY, *HELD_OUT, "training.budget=60s"]
    train_until(40, here, long_text, tmp_path, settings)
    charlm.resume(tmp_path / "run", on_event=here)
    assert here.now == pytest.approx(60, abs=6)


def test_first_lines_divide_the_time(long_text: Path, tmp_path: Path, machine: Any) -> None:
    """The first lines say how the budget is divided, and the parts add up to it."""
    here = machine(2e4)
    here.train(long_text, tmp_path, "training.budget=60s", starts=4.0)
    (line,) = [line for said in here.of(Advised) for line in said.reasons]
    found = re.fullmatch(
        r"time: of 1m, (.*) to start, about (.*) to train, (.*) for the last validation and the "
        "score",
        line,
    )
    assert found, line
    parts = [parse_duration(part) for part in found.groups()]
    assert sum(parts) == pytest.approx(60, abs=1)
    assert parts[0] == pytest.approx(4, abs=1)


@pytest.mark.parametrize("settings", [[], ["ensemble.ngram_order=2"]])
def test_times_of_a_slow_start_add_up(
    settings: list[str], long_text: Path, tmp_path: Path, machine: Any
) -> None:
    """A startup that exceeds its share makes the command longer, and the line states this."""
    here = machine(2e4)
    here.train(long_text, tmp_path, *settings, "training.budget=60s", starts=55.0)
    (line,) = [line for said in here.of(Advised) for line in said.reasons]
    found = re.match(
        r"time: (\S+) instead of 1m, after a slow start: (\S+) to start, about (\S+) to train.*, "
        r"(\S+) (for|to)",
        line,
    )
    assert found, line
    whole, *parts = map(parse_duration, found.groups()[:4])
    assert whole > 60
    assert sum(parts) == pytest.approx(whole, abs=1)


@pytest.mark.parametrize("settings", [[], ["ensemble.members=2"]])
def test_resumed_runs_name_what_is_left(
    settings: list[str], long_text: Path, tmp_path: Path, machine: Any
) -> None:
    """A resumed run names the steps, epochs and seconds that are left, not its whole limits."""
    here = machine(1e9)
    limits = ["training.budget=60s", "training.steps=50", "training.epochs=900"]
    settings = [*TINY, *HELD_OUT, *settings, *limits]
    train_until(30, here, long_text, tmp_path, settings)
    new, before = here.of(Started)[0], len(here.events)
    assert "more" not in describe_rest(new)
    charlm.resume(tmp_path / "run", on_event=here)
    resumed = next(event for event in here.events[before:] if isinstance(event, Started))
    found = re.fullmatch(
        r"(\S+) more epochs, or 20 more steps or (\S+) if that is sooner", describe_rest(resumed)
    )
    assert found, describe_rest(resumed)
    assert float(found[1]) == pytest.approx(900 - resumed.epochs, rel=0.01)
    whole = 60 / (2 if new.is_member else 1)
    assert parse_duration(found[2]) == pytest.approx(whole - 30 * STEP_SECONDS, abs=4)


ENSEMBLES = {
    "n-grams": ["ensemble.ngram_order=2"],
    "student": ["ensemble.members=2", "ensemble.student=0.4", "ensemble.ngram_order=2"],
}


@pytest.mark.parametrize("speed", [2e3, 1e9])
@pytest.mark.parametrize("kind", ENSEMBLES)
def test_a_budget_covers_an_ensemble(
    kind: str, speed: float, long_text: Path, tmp_path: Path, machine: Any
) -> None:
    """All networks, counting, mixing and the final score take the budget together."""
    here = machine(speed)
    finished = here.train(long_text, tmp_path, *ENSEMBLES[kind], "training.budget=120s", starts=5.0)
    assert here.now == pytest.approx(120, abs=12)
    assert sum(member.step for member in finished.networks) * STEP_SECONDS > 40
    (line,) = [line for said in here.of(Advised) for line in said.reasons]
    found = re.fullmatch(
        r"time: of 2m, (.*) to start, about (.*) to train \d networks?, (.*) to count n-grams, mix "
        "and score",
        line,
    )
    assert found, line
    assert sum(map(parse_duration, found.groups())) == pytest.approx(120, abs=2)


def test_an_ensemble_is_extended_by_added_time(
    long_text: Path, tmp_path: Path, machine: Any
) -> None:
    """A finished ensemble is only scored again; with more time, its networks share the addition."""
    here = machine(2e4)
    finished = here.train(long_text, tmp_path, *ENSEMBLES["student"], "training.budget=120s")
    again = charlm.resume(finished.folder.path, on_event=here)
    assert again.step == finished.step
    began_at = here.now
    longer = charlm.resume(finished.folder.path, settings=["training.budget=200s"], on_event=here)
    assert here.now - began_at == pytest.approx(80, abs=15)
    assert all(
        after.step > before.step
        for before, after in zip(again.networks, longer.networks, strict=True)
    )


@pytest.mark.parametrize(("speed", "keeps_text"), [(600.0, True), (2e4, False)])
def test_a_finished_ensemble_is_kept(
    speed: float, keeps_text: bool, long_text: Path, tmp_path: Path, machine: Any
) -> None:
    """Resuming a finished ensemble changes no weight, no loss and no score, at any speed."""
    here = machine(speed)
    keeping = f"ensemble.keep_text={str(keeps_text).lower()}"
    finished = here.train(long_text, tmp_path, *ENSEMBLES["student"], "training.budget=40s")
    before = read_checkpoint(finished.folder.best)
    here.events.clear()
    for _ in range(2):
        again = charlm.resume(finished.folder.path, settings=[keeping], on_event=here)
        after = read_checkpoint(finished.folder.best)
        assert set(before.weights) - set(after.weights) == (set() if keeps_text else {"counted"})
        assert all(torch.equal(one, before.weights[name]) for name, one in after.weights.items())
        assert after.training_counters == before.training_counters
        assert (again.held_out, again.protocol) == (finished.held_out, finished.protocol)
        assert (again.best_loss, again.sample) == (finished.best_loss, finished.sample)
        losses = [[member.best_loss for member in one.networks] for one in (again, finished)]
        assert losses[0] == losses[1]
    assert not here.of(Mixing)
    model: Any = charlm.load(finished.folder.path).model
    assert all(model.weights.ravel() == mixture(before))


def mixture(checkpoint: Checkpoint) -> Any:
    return checkpoint.weights["mixture"].numpy().ravel()


def test_a_broken_mixture_is_mixed_again(long_text: Path, tmp_path: Path, machine: Any) -> None:
    """A mixture that is missing, or of other weights than its networks have, is built again."""
    here = machine(2e4)
    limits = ["training.budget=null", "training.steps=20"]
    finished = here.train(long_text, tmp_path, *ENSEMBLES["n-grams"], *limits)
    best, member = finished.folder.best, RunFolder(finished.folder.path / "member-1")
    before = read_checkpoint(best)
    network = read_checkpoint(member.best)
    other = {name: tensor / 2 for name, tensor in network.weights.items()}
    for weights in (None, other):
        if weights is None:
            best.unlink()
        else:
            write_checkpoint(member.best, replace(network, weights=weights))
        here.events.clear()
        charlm.resume(finished.folder.path, on_event=here)
        assert len(here.of(Mixing)) == 1
        is_same = all(mixture(read_checkpoint(best)) == mixture(before))
        assert is_same == (weights is None)


@pytest.mark.parametrize("speed", [600.0, 2e3])
def test_a_finished_run_keeps_its_score(
    speed: float, long_text: Path, tmp_path: Path, machine: Any
) -> None:
    """Resuming a finished run scores the same characters, although it has another time for it."""
    here = machine(speed)
    finished = here.train(long_text, tmp_path, "training.budget=40s", "training.steps=20")
    again = start.resume(finished.folder.path, on_event=here, clock=CommandClock())
    assert (again.held_out, again.protocol) == (finished.held_out, finished.protocol)


def test_ngrams_are_counted_again_alike(long_text: Path, tmp_path: Path, machine: Any) -> None:
    """What a short budget leaves uncounted stays so when the text is counted on loading."""
    here = machine(1000.0)
    settings = ["ensemble.ngram_order=2", "ensemble.keep_text=false", "training.budget=40s"]
    finished = here.train(long_text, tmp_path, *settings)
    counted = read_checkpoint(finished.folder.best).training_counters["counted_characters"]
    assert 1000 <= counted < 30_000
    model: Any = charlm.load(finished.folder.path).model
    assert len(model.counted) == counted


@given(
    seconds=st.floats(-1, 1e4),
    streams=st.integers(1, 64),
    rate=st.floats(1, 1e9),
    most=st.integers(1, 10**9),
)
def test_what_is_scored_fits(seconds: float, streams: int, rate: float, most: int) -> None:
    """What is chosen to be scored fits into the time, and is a round number."""
    chosen = characters_in(seconds, streams, rate, most)
    assert 0 < chosen <= most
    assert chosen in (most, *(factor * 10**power for factor in (1, 2, 5) for power in range(3, 10)))
    assert chosen <= max(1000, seconds * rate)
    assert characters_in(2 * abs(seconds), streams, rate, most) >= chosen
    assert characters_in(0.0, streams, math.inf, most) == most
