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
from charlm.prediction.timed_scoring import TimeLimit
from charlm.runs.folder import RunFolder
from charlm.training import start
from charlm.training.auto import Advice
from charlm.training.events import Finished, Stepped
from charlm.training.series_events import RunBegins, RunFailed, SeriesBegins, SeriesEvent
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


def test_long_names_are_cut(text: Path) -> None:
    """A name that is too long for a folder is cut, and numbered where two become the same."""
    sweep = {"generation.prefix": ["a", "b"]}
    cells(text, seeds=(), sweep=sweep, name="é" * 119)
    assert folders(text) == ["é" * 119 + "-p", "é" * 119 + "-p-2"]


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
    limited = [setting for setting in TINY_RUN if "steps" not in setting]
    about: Any = {"text": text, "runs": text.parent / "runs", "auto": True, "sweep": CELLS}
    about["settings"] = [*limited, "training.budget=0.2s"]
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
    with pytest.raises(ConfigError, match="takes one process"):
        cells(text)
