"""A series: a run for each combination of settings and seeds, and how it is continued."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.provenance import TINY as TINY_RUN
from support.provenance import words
from support.training import PowerLossError, assert_same_weights

from charlm import train, train_series
from charlm.config.schema import Config
from charlm.errors import CharlmError, ConfigError, CorpusError, RunError
from charlm.kernels.compute import Compute
from charlm.prediction.timed_scoring import TimeLimit
from charlm.runs.folder import RunFolder
from charlm.training import mixing, series, start, time_budget
from charlm.training.auto import Advice
from charlm.training.calibration import choose_compute
from charlm.training.command_clock import CommandClock
from charlm.training.events import Finished, Stepped
from charlm.training.mixing_time import MixingPlan
from charlm.training.series_events import RunBegins, RunFailed, SeriesBegins, SeriesEvent
from charlm.training.series_plan import plan_series
from charlm.training.series_results import SeriesFinished

TINY = (*TINY_RUN, "training.budget=null")
CELLS = {"model.cell": ["gru", "lstm"]}
NAMES = ["o-cell-gru-s0", "o-cell-gru-s3", "o-cell-lstm-s0", "o-cell-lstm-s3"]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "o.txt"
    path.write_text(words(1), "utf-8")
    return path


def cells(text: Path, *settings: str, **options: Any) -> SeriesFinished:
    """Train two cells with two seeds."""
    options = {"seeds": [0, 3], "sweep": CELLS} | options
    return train_series(
        text=text, runs=text.parent / "runs", settings=[*TINY, *settings], **options
    )


def folders(text: Path) -> list[str]:
    runs = text.parent / "runs"
    return (
        sorted(path.name for path in runs.iterdir() if path.name[0] != ".") if runs.exists() else []
    )


def test_each_run_is_an_ordinary_one(text: Path) -> None:
    """A run of a series has the weights of a run with these settings and this seed."""
    finished = cells(text)
    assert [result.run.path.name for result in finished.results] == NAMES == folders(text)
    last = finished.results[-1].finished
    assert last is not None
    settings = [*TINY, "model.cell=lstm", "training.seed=3"]
    alone = train("quickstart", text=text, runs=text.parent / "alone", settings=settings)
    assert_same_weights(last.folder.best, alone.folder.best)
    assert last.held_out == alone.held_out


def test_values_are_those_of_the_sweep(text: Path) -> None:
    """Without seeds, a run for each combination; values may be numbers or lists."""
    sweep = {"model.embedding_size": [4, 6], "corpus.split": [[0.8, 0.1, 0.1]]}
    finished = cells(text, seeds=(), sweep=sweep, name="x")
    configs = [result.run.config for result in finished.results]
    assert [config.model.embedding_size for config in configs] == [4, 6]
    assert {config.corpus.split for config in configs} == {(0.8, 0.1, 0.1)}
    assert folders(text)[0] == "x-embedding_size-4-split-0.8-0.1-0.1"


def test_alike_values_have_names_of_their_own(text: Path) -> None:
    sweep = {"generation.prefix": ["'a b'", "'a-b'"]}
    cells(text, seeds=(), sweep=sweep, name="x")
    assert folders(text) == ["x-prefix-a-b", "x-prefix-a-b-2"]


@pytest.mark.parametrize("num_keys", [1, 9])
def test_long_names_keep_their_end(tmp_path: Path, num_keys: int) -> None:
    """A name that is too long for a folder loses its middle: seed and last values stay."""
    defaults = [*Config().model.model_dump().items()][:num_keys]
    sweep: dict[str, list[Any]] = {f"model.{key}": [value] for key, value in defaults}
    sweep["generation.prefix"] = [f"{'word ' * 20}{last}" for last in ("one", "two")]
    about: Any = {"text": (), "settings": (), "seeds": [0, 12], "folder": tmp_path}
    runs = plan_series("quickstart", sweep=sweep, stem="é" * 119, **about)
    names = [run.path.name for run in runs]
    ends = [f"word-{last}-s{seed}" for last in ("one", "two") for seed in (0, 12)]
    for name, end in zip(names, ends, strict=True):
        assert name.startswith("é" * 20) and name.endswith(end)
        assert len(name.encode()) <= 240


def steps_of(events: list[SeriesEvent]) -> list[tuple[str, int]]:
    """Return the steps taken, with the name of the run."""
    steps, name = [], ""
    for event in events:
        if isinstance(event, RunBegins):
            name = event.run.path.name
        if isinstance(event, Stepped):
            steps.append((name, event.step.step))
    return steps


def power_loss_in(number: int, step: int) -> Callable[[SeriesEvent], None]:
    """Return what ends a series in a run after a step."""
    current = 0

    def on_event(event: SeriesEvent) -> None:
        nonlocal current
        if isinstance(event, RunBegins):
            current = event.number
        if isinstance(event, Stepped) and (current, event.step.step) == (number, step):
            raise PowerLossError

    return on_event


def test_the_same_call_continues(text: Path) -> None:
    """After a crash the same call finishes the series, and repeats no step of a finished run."""
    about = ("training.steps=4", "training.save_every=2")
    with pytest.raises(PowerLossError):
        cells(text, *about, on_event=power_loss_in(2, 3))
    events: list[SeriesEvent] = []
    finished = cells(text, *about, on_event=events.append)
    own = [step for step in steps_of(events) if step[0] in NAMES[:2]]
    assert own == [(NAMES[1], 3), (NAMES[1], 4)]
    again = cells(text, *about)
    assert scores(again) == scores(finished)
    other = text.parent / "uninterrupted"
    whole = train_series(text=text, runs=other, settings=[*TINY, *about], seeds=[0, 3], sweep=CELLS)
    assert scores(whole) == scores(finished)


def scores(finished: SeriesFinished) -> list[float]:
    return [result.score.nats for result in finished.results if result.score]


def test_a_higher_limit_extends_all(text: Path) -> None:
    """The same series with a higher limit extends each of its runs."""
    cells(text)
    finished = cells(text, "training.steps=3")
    assert [result.finished and result.finished.step for result in finished.results] == [3] * 4


TIMED = "training.steps=null training.budget="
EPOCHS = "training.steps=null training.epochs="


@pytest.mark.parametrize(
    ("first", "then", "message"),
    [
        (
            "training.steps=3",
            "",
            r"has already trained for 3 steps, but training\.steps is 2; .*=6\)",
        ),
        ("training.steps=3 ensemble.members=2", "ensemble.members=2", r"training\.steps is 2; "),
        (f"{EPOCHS}1", f"{EPOCHS}0.9", r"for 1 epoch, but training\.epochs is 0\.9; .*=2\)"),
        ("training.steps=3", f"{EPOCHS}0.01", r"training\.epochs is 0\.01; "),
        (
            f"{TIMED}0.1s",
            f"{TIMED}1e-3",
            r"budget of 0\.1s, .*: training\.budget is 0\.001s; .*\(--budget 0\.2s\)",
        ),
        (
            "training.steps=3",
            f"{TIMED}1e-3",
            r"without a budget, longer than is asked: training\.budget is ",
        ),
    ],
)
def test_a_lower_limit_is_refused(text: Path, first: str, then: str, message: str) -> None:
    """A run that has trained for longer than others will is refused before the first one begins."""
    one: dict[str, Any] = {"seeds": [3], "sweep": {"model.cell": ["lstm"]}}
    common = "batches.batch_size=4"
    cells(text, common, *first.split(), **one)
    cells(text, common, *first.split(), **one)
    events: list[SeriesEvent] = []
    with pytest.raises(RunError, match=message) as error:
        cells(text, common, *then.split(), on_event=events.append)
    assert "\n" not in str(error.value) and NAMES[3] in str(error.value)
    assert not events and folders(text) == [NAMES[3]]


def test_a_stopped_run_takes_a_lower_limit(text: Path) -> None:
    """A run that was stopped before the lower limit is resumed up to it, like the others."""
    with pytest.raises(PowerLossError):
        cells(text, "training.steps=9", "training.save_every=2", on_event=power_loss_in(1, 3))
    finished = cells(text, "training.steps=2", "training.save_every=2")
    assert [result.finished and result.finished.step for result in finished.results] == [2] * 4


def test_an_earlier_limit_does_not_stay(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With auto, all runs of a setting train up to the limits of this call, and to no others."""
    monkeypatch.setattr(start, "advise", lambda config, *_: Advice(config, ()))
    about: Any = {"text": text, "runs": text.parent / "runs", "auto": True}
    limited = [setting for setting in TINY if "steps" not in setting]
    train_series(seeds=[1], settings=[*limited, "training.steps=2"], **about)
    longer = train_series(seeds=[0, 1], settings=[*limited, "training.steps=3"], **about)
    assert [result.finished and result.finished.step for result in longer.results] == [3, 3]
    assert longer.is_chosen and [result.hidden_size for result in longer.results] == [8, 8]
    whole = train_series(seeds=[0, 1], settings=[*limited, "training.epochs=4"], **about)
    epochs = [result.finished and result.finished.epochs for result in whole.results]
    assert epochs == [4, 4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sweep": {"model.cel": ["gru", "lstm"]}}, r"model\.cel is not a key; did you mean"),
        ({"sweep": {"model.cell": ["gru", "gated"]}}, r"model\.cell is 'gated'"),
        ({"sweep": {"model.cell": []}}, "no values"),
        ({"sweep": {"model.cell": ["gru", "gru"]}}, "gru is given twice"),
        ({"sweep": {"model.hidden_size": [4]}}, "both set and swept"),
        ({"sweep": {"training.seed": [1, 2]}}, "give --seeds instead"),
        ({"sweep": {"batches.batch_size": [4, 9999]}}, "9999 columns need"),
        ({"seeds": [1, 1]}, "1 is given twice"),
        ({"seeds": [-1]}, r"training\.seed is -1"),
        ({"seeds": range(1001)}, "2,002 runs are more than 1,000"),
        ({"seeds": [], "sweep": {}}, "needs seeds, or a key"),
        ({"settings": ["training.seed=1"]}, "both give seeds"),
        ({"name": ".hidden"}, "must not begin with a dot"),
        ({"name": "\ud800"}, "should be the name of a folder"),
        ({"name": "a/b"}, "should be the name of a folder"),
        ({"text": "-"}, "reads the text more than once"),
    ],
)
def test_mistakes_are_refused_first(text: Path, options: dict[str, Any], message: str) -> None:
    """A mistake in any combination is an error before the first run begins."""
    settings = [*TINY, *options.pop("settings", ())]
    about: dict[str, Any] = {"text": text, "seeds": [0, 3], "sweep": CELLS} | options
    events: list[SeriesEvent] = []
    with pytest.raises(CharlmError, match=message) as error:
        train_series(runs=text.parent / "runs", settings=settings, on_event=events.append, **about)
    assert "\n" not in str(error.value)
    assert not events and not folders(text)


def test_runs_of_other_settings_are_refused(text: Path) -> None:
    """A folder with other settings, or a foreign one, is refused before the first run begins."""
    cells(text, seeds=[3], sweep={"model.cell": ["lstm"]})
    with pytest.raises(RunError, match=r"learning_rate was .* or choose another --name"):
        cells(text, "training.learning_rate=0.1")
    text.write_text(words(2), "utf-8")
    with pytest.raises(CorpusError):
        cells(text)
    (text.parent / "runs" / NAMES[1]).mkdir()
    with pytest.raises(RunError, match=NAMES[1]):
        cells(text)
    assert folders(text) == [NAMES[1], NAMES[3]]


def test_a_series_of_ensembles_continues(text: Path) -> None:
    """A series of ensembles is continued, too; a member is not trained again."""
    settings = ("ensemble.members=2",)
    first = cells(text, *settings, seeds=[0])
    events: list[SeriesEvent] = []
    assert scores(cells(text, *settings, seeds=[0], on_event=events.append)) == scores(first)
    assert not steps_of(events)


def test_partly_scored_runs_are_comparable(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores of the same part of a split are comparable, though each protocol names its run."""
    monkeypatch.setattr(TimeLimit, "choose", lambda *_: (1, 100))
    finished = cells(text, "training.budget=1m", seeds=[0])
    protocols = {result.score.protocol for result in finished.results if result.score}
    assert len(protocols) == 2 and all("scored on 100 of" in one for one in protocols)
    assert finished.why_not_comparable == "" and finished.best is not None


@pytest.mark.parametrize("members", [1, 2])
def test_other_validations_choose_no_best(
    text: Path, monkeypatch: pytest.MonkeyPatch, members: int
) -> None:
    """Where a budget allows runs to validate on different characters, none of them is the best."""
    limits, cell = {"gru": 100, "lstm": 100}, ""
    monkeypatch.setattr(TimeLimit, "choose", lambda *_: (1, 100))
    monkeypatch.setattr(time_budget, "characters_in", lambda *_: limits[cell])
    monkeypatch.setattr(mixing, "plan_mixing", lambda *_: MixingPlan(validated=limits[cell]))

    def on_event(event: SeriesEvent) -> None:
        nonlocal cell
        if isinstance(event, RunBegins):
            cell = event.run.config.model.cell

    settings = ("training.budget=1m", f"ensemble.members={members}")
    about: Any = {"seeds": [0], "on_event": on_event}
    alike = cells(text, *settings, name="alike", **about)
    assert alike.why_not_comparable == "" and alike.best is not None
    limits["lstm"] = 50
    finished = cells(text, *settings, name="other", **about)
    validated = [result.validation.characters for result in finished.results if result.validation]
    assert validated == [100, 50]
    assert finished.why_scores_differ == "" and finished.best is None
    assert "validated on different characters" in finished.why_not_comparable


def test_a_diverging_run_ends_no_series(text: Path) -> None:
    """A run that diverges has an error for a result; the others are trained."""
    unclipped = ("training.optimizer=sgd", "training.max_gradient_norm=null")
    cell = ("model.cell=rnn", "model.nonlinearity=relu", "training.warmup_steps=0")
    sweep = {"training.learning_rate": [1e12, 0.1]}
    events: list[SeriesEvent] = []
    finished = cells(
        text,
        *unclipped,
        *cell,
        "training.max_rollbacks=0",
        seeds=(),
        sweep=sweep,
        on_event=events.append,
    )
    failed, good = finished.results
    assert failed.finished is None and "diverge" in failed.error
    assert good.finished is not None and finished.best is good
    assert [event.run for event in events if isinstance(event, RunFailed)] == [failed.run]


def test_seeds_share_what_charlm_chooses(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With auto, charlm chooses once for each setting, also when the series is continued."""
    chosen: list[str] = []

    def advise(config: Config, *_: object) -> Advice:
        chosen.append(config.model.cell)
        return Advice(config.replace(model={"embedding_size": 3 + len(chosen)}), ())

    monkeypatch.setattr(start, "advise", advise)
    about: Any = {"text": text, "runs": text.parent / "runs", "auto": True, "sweep": CELLS}
    about["settings"] = TINY
    with pytest.raises(PowerLossError):
        train_series(seeds=[0, 1], on_event=power_loss_in(2, 1), **about)
    with pytest.raises(PowerLossError):
        train_series(seeds=[0, 1], on_event=power_loss_in(4, 1), **about)
    assert chosen == ["gru", "lstm"]
    sizes = [
        RunFolder(text.parent / "runs" / name).read_config().model.embedding_size
        for name in folders(text)
    ]
    assert sizes == [4, 4, 5, 5]


def test_events_of_a_series(text: Path) -> None:
    """The plan comes first, then each run with its events, then the results."""
    events: list[SeriesEvent] = []
    finished = cells(text, on_event=events.append)
    assert isinstance(events[0], SeriesBegins) and len(events[0].runs) == 4
    assert [event.number for event in events if isinstance(event, RunBegins)] == [1, 2, 3, 4]
    ends = [event for event in events if isinstance(event, Finished)]
    assert ends == [result.finished for result in finished.results]
    assert events[-1] == finished


def test_several_processes_are_refused(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}
    names |= {"TORCHELASTIC_RESTART_COUNT": "0", "TORCHELASTIC_MAX_RESTARTS": "0"}
    names |= {"TORCHELASTIC_RUN_ID": "x", "MASTER_PORT": "1", "MASTER_ADDR": "localhost"}
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="in one process only"):
        cells(text)


def test_clock_of_a_run_starts_after_startup(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What only the first run of a series measures and chooses takes none of its budget."""
    order: list[str] = []

    class Clock(CommandClock):
        def __init__(self) -> None:
            order.append("clock")
            super().__init__()

    def choose(config: Config) -> Compute:
        order.append("compute")
        return choose_compute(config)

    def advise(config: Config, *_: object) -> Advice:
        order.append("advice")
        return Advice(config, ())

    monkeypatch.setattr(start, "CommandClock", Clock)
    monkeypatch.setattr(start, "advise", advise)
    monkeypatch.setattr(series, "choose_compute", choose, raising=False)
    settings = [*TINY, "training.budget=1m"]
    about: Any = {"text": text, "runs": text.parent / "runs", "auto": True, "settings": settings}
    train_series(seeds=[0, 1], **about)
    assert order == ["compute", "advice", "clock", "compute", "clock"]
