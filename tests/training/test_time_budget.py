"""A time budget covers the whole command, by a clock that the work itself advances."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.texts import TEXT
from support.training import TINY

import charlm
from charlm.config.values import parse_duration
from charlm.models.language_model import LanguageModel
from charlm.models.ngrams import KernelNGrams, PythonNGrams
from charlm.prediction.timed_scoring import characters_in
from charlm.runs.checkpoint import read_checkpoint
from charlm.training import command_clock
from charlm.training.command_clock import CommandClock
from charlm.training.events import Advised, Event, Finished, Stepped, Validated

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
        for kind in (KernelNGrams, PythonNGrams):
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
        """Train on a command line that has taken `starts` seconds when training is called."""
        clock = CommandClock()
        self.now += starts
        return charlm.train(
            "quickstart",
            text=text,
            runs=runs,
            settings=[*TINY, *HELD_OUT, *settings],
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
    """A held-out split that takes too long is scored in part, and the score says so."""
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
        finished = charlm.resume(finished.folder.path, on_event=here, clock=clock)
        assert finished.step == steps
    clock = CommandClock()
    here.now += 3.0
    settings = ["training.budget=90s"]
    charlm.resume(finished.folder.path, settings=settings, on_event=here, clock=clock)
    assert clock.seconds() == pytest.approx(30, abs=5)


def test_a_stop_and_a_resumption_share_a_budget(
    long_text: Path, tmp_path: Path, machine: Any
) -> None:
    """A run that was stopped takes, with both commands, its budget and the second start."""
    here = machine(2e3)

    class StopError(Exception):
        pass

    def stop(event: Event) -> None:
        here(event)
        if isinstance(event, Stepped) and event.step.step == 40:
            raise StopError

    settings = [*TINY, *HELD_OUT, "training.budget=60s"]
    with pytest.raises(StopError):
        charlm.train(
            "quickstart",
            text=long_text,
            runs=tmp_path,
            name="run",
            settings=settings,
            on_event=stop,
        )
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


ENSEMBLES = {
    "n-grams": ["ensemble.ngram_order=2"],
    "student": ["ensemble.members=2", "ensemble.student=0.4", "ensemble.ngram_order=2"],
}


@pytest.mark.parametrize("speed", [2e3, 2e4, 1e9])
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
    """A finished ensemble is only mixed again; with more time, its networks share the addition."""
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


def test_ngrams_are_counted_again_alike(long_text: Path, tmp_path: Path, machine: Any) -> None:
    """What a short budget leaves uncounted stays so when the text is counted on loading."""
    here = machine(2000.0)
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
