"""`charlm.train`, `charlm.resume` and `charlm.train_series`: with a report, and with progress.

They show with `progress=True` what the commands show, which is why they stand here.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar, Unpack

from charlm.config.schema import Config
from charlm.config.settings import TextPaths
from charlm.config.shortcuts import Shortcuts
from charlm.pages.training_report import ReportedEvents
from charlm.training import series, start
from charlm.training.events import Event, Finished
from charlm.training.series_events import SeriesEvent
from charlm.training.series_results import SeriesFinished


def train(
    *inputs: str | PathLike[str] | Config,
    text: TextPaths = (),
    settings: Iterable[str] = (),
    name: str | None = None,
    runs: str | PathLike[str] = "runs",
    auto: bool | None = None,
    progress: bool = False,
    on_event: Callable[[Event], None] | None = None,
    **shortcuts: Unpack[Shortcuts],
) -> Finished:
    """Train a model in a new run folder, `runs/name`, as `charlm train` does.

    `inputs` are texts (files, folders, globs, "-") and at most one config (the name of a shipped
    one, a .yaml file or a `Config`), in any order. For a text without a config, charlm chooses
    model, batches and schedule, except what is set: for 5 minutes, or until the limit that is set.
    Without a text, it trains on that of the config (default: "quickstart").

    `text` also names texts, `auto` decides whether charlm chooses, and `settings`
    (`section.key=value`) set keys of the config. Short names of keys are `records`, `column`,
    `budget`, `epochs`, `steps`, `learning_rate`, `batch_size`, `sequence_length`, `seed`,
    `deterministic`, `cell`, `layers`, `hidden_size` and `dropout`. Without `name`, runs are
    numbered under the name of the text, or of the config without a text.

    It prints nothing, unless `progress` shows what the command shows: in a notebook in the output
    of the cell, elsewhere on standard error. `on_event` gets each event of `charlm.events`; if it
    raises an exception, training saves after the step and raises it. A time budget counts from
    this call.

    Raises `CharlmError`. On Ctrl-C it saves and raises `KeyboardInterrupt`. The processes of a
    `torchrun` launch train one model together; after a restart they resume the run.
    """
    with _events(progress, on_event) as events:
        finished = start.train(
            *inputs,
            text=text,
            settings=settings,
            name=name,
            runs=runs,
            auto=auto,
            on_event=events,
            **shortcuts,
        )
    return _as_reported(events, finished)


def resume(
    run: str | PathLike[str],
    *,
    text: TextPaths = (),
    settings: Iterable[str] = (),
    progress: bool = False,
    on_event: Callable[[Event], None] | None = None,
    **shortcuts: Unpack[Shortcuts],
) -> Finished:
    """Resume a run from its last checkpoint, with the same results as if it had not stopped.

    The settings are those of the checkpoint; changes of `config.yaml` are ignored and reported.
    `text` gives the new path of a text that has moved; the settings `corpus.validation_paths` and
    `corpus.test_paths` give those of separate files. Settings may also change the limits of
    training, and how often it logs, validates and saves; the short names, `progress` and `on_event`
    are those of `train`. Raises `RunError` if a setting changes anything that finished steps depend
    on, and `CorpusError` for another text.
    """
    with _events(progress, on_event) as events:
        finished = start.resume(run, text=text, settings=settings, on_event=events, **shortcuts)
    return _as_reported(events, finished)


def train_series(
    config: str | Path | Config = "quickstart",
    *,
    seeds: Iterable[int] = (),
    sweep: Mapping[str, Iterable[Any]] | None = None,
    text: TextPaths = (),
    settings: Iterable[str] = (),
    name: str | None = None,
    runs: str | PathLike[str] = "runs",
    auto: bool = False,
    progress: bool = False,
    on_event: Callable[[SeriesEvent], None] | None = None,
) -> SeriesFinished:
    """Train a run for each combination of the values of swept keys and of the seeds.

    `sweep` maps keys to their values, such as `{"model.cell": ["gru", "lstm"]}`; the other
    arguments are those of `train`. With `auto`, charlm chooses once for each setting, and its seeds
    share the choice. The names of the runs begin with `name`, by default that of the text.
    `on_event` also gets the events of the series (`charlm.training.series_events`).

    The same call continues a series that was stopped: a run whose folder exists is resumed, so a
    finished one is only scored again. All mistakes are reported before the first run begins: as
    `ConfigError`, or as `RunError` for a run folder with other settings, or one that has trained
    beyond the limits. A run that diverges has no result, and the next one begins.
    """
    with _events(progress, on_event, is_series=True) as events:
        finished = series.train_series(
            config,
            seeds=seeds,
            sweep=sweep,
            text=text,
            settings=settings,
            name=name,
            runs=runs,
            auto=auto,
            on_event=events,
        )
    return _as_reported(events, finished)


_AnyFinished = TypeVar("_AnyFinished", Finished, SeriesFinished)


def _as_reported(events: ReportedEvents, finished: _AnyFinished) -> _AnyFinished:
    """Return the result with its report; only the first of several processes gets events."""
    return events.result if isinstance(events.result, type(finished)) else finished


@contextmanager
def _events(
    progress: bool, on_event: Callable[[Any], None] | None, *, is_series: bool = False
) -> Iterator[ReportedEvents]:
    """Return the receiver of the events of a training, which writes the report at its end."""
    receivers: list[Callable[[Any], None]] = [on_event] if on_event is not None else []
    view = None
    if progress:
        from charlm.cli.progress import TrainingView
        from charlm.cli.series import SeriesView

        view = (SeriesView if is_series else TrainingView)(shows_results=False)
        receivers.insert(0, view)

    def receive(event: Any) -> None:
        for receiver in receivers:
            receiver(event)

    try:
        yield ReportedEvents(receive, lambda line: warnings.warn(line, stacklevel=2))
    finally:
        if view is not None:
            view.close()
