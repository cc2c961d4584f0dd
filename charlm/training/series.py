"""Train a series of runs: one for each combination of swept settings and seeds."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from charlm.config.load import relocate
from charlm.config.schema import Config
from charlm.config.settings import TextPaths
from charlm.corpus.batches import make_batches
from charlm.distributed.launch import launched
from charlm.errors import ConfigError, DivergenceError, RunError
from charlm.files.locations import from_user
from charlm.runs.folder import RunFolder
from charlm.runs.names import check_name
from charlm.runs.training_text import training_corpus
from charlm.training import ensemble_run, network_run, start
from charlm.training.auto import EPOCH_LIMIT
from charlm.training.calibration import choose_compute
from charlm.training.events import Finished, Started
from charlm.training.inputs import Inputs
from charlm.training.limit_rules import check_limits
from charlm.training.resume_rules import changeable_settings, check_resumable, check_same
from charlm.training.series_events import RunBegins, RunFailed, SeriesBegins, SeriesEvent
from charlm.training.series_plan import SeriesRun, plan_series
from charlm.training.series_results import RunResult, SeriesFinished
from charlm.training.standard_input import check_text_can_be_read_again


def train_series(
    config: str | Path | Config = "quickstart",
    *,
    seeds: Iterable[int] = (),
    sweep: Mapping[str, Iterable[Any]] | None = None,
    text: TextPaths = (),
    settings: Iterable[str] = (),
    name: str | None = None,
    runs: str | os.PathLike[str] = "runs",
    auto: bool = False,
    on_event: Callable[[SeriesEvent], None] = lambda event: None,
) -> SeriesFinished:
    """Train a run for each combination of the values of swept keys and of the seeds.

    The arguments are those of `charlm.train_series`.
    """
    text = (text,) if isinstance(text, str | Path) else tuple(text)
    named = config if isinstance(config, Config) else str(config)
    stem = Inputs(named, tuple(map(str, text)), (), auto).stem
    if name is not None:
        check_name(name)
    planned = plan_series(
        config,
        text=text,
        settings=settings,
        seeds=seeds,
        sweep=sweep or {},
        folder=from_user(runs),
        stem=name or stem,
    )
    series = _Series(planned, text, auto)
    series.check()
    on_event(SeriesBegins(series.runs))
    results = []
    for number, run in enumerate(series.runs, 1):
        on_event(RunBegins(number, len(series.runs), run))
        try:
            results.append(series.train(run, on_event))
        except DivergenceError as error:
            results.append(RunResult(run, None, str(error)))
            on_event(RunFailed(run, str(error)))
    finished = SeriesFinished(tuple(results), is_chosen=auto)
    on_event(finished)
    return finished


class _Series:
    """The planned runs, each trained or resumed."""

    def __init__(self, runs: tuple[SeriesRun, ...], text: TextPaths, auto: bool) -> None:
        self.runs = runs
        self._text, self._auto = text, auto

    def check(self) -> None:
        """Raise the errors of all runs that can be known before the first one begins."""
        if launched().size > 1 or launched().max_restarts:
            raise ConfigError("a series runs in one process only; start charlm without torchrun")
        checked = set()
        for run in self.runs:
            check_text_can_be_read_again(run.config, "a series")
            if _exists(run):
                self._check_resumable(run)
                continue
            read = run.config.model_dump_json(include={"corpus", "batches"})
            key = read, run.config.training.start_from
            if key not in checked:
                checked.add(key)
                corpus = network_run.corpus_to_train_on(run.config)
                if not self._auto:  # which fits the batches to the text
                    make_batches(corpus.splits["train"].ids, run.config.batches, seed=0)

    def _check_resumable(self, run: SeriesRun) -> None:
        """Raise `RunError` for a folder with other settings, `CorpusError` for another text."""
        folder = RunFolder(run.path)
        folder.check_is_run()
        checkpoint = network_run.checkpoint_to_resume(folder)
        written = checkpoint.config if checkpoint is not None else folder.read_config()
        config = self._chosen(written, run) if self._auto else run.config
        try:
            if self._auto:
                check_resumable(run.path, written, config)
            else:
                check_same(run.path, written, config)
        except RunError as error:
            raise RunError(f"{error}, or choose another --name") from None
        if checkpoint is not None:
            training_corpus(replace(checkpoint, config=config))
        elif config.ensemble.is_wanted:
            ensemble_run.check_text(folder, config)
        check_limits(folder, checkpoint, config)

    def train(self, run: SeriesRun, on_event: Callable[[SeriesEvent], None]) -> RunResult:
        """Train a run, or resume it if its folder exists."""
        hidden_size = None

        def receive(event: SeriesEvent) -> None:
            nonlocal hidden_size
            if isinstance(event, Started):
                hidden_size = event.config.model.hidden_size
            on_event(event)

        return RunResult(run, self._train(run, receive), hidden_size=hidden_size)

    def _train(self, run: SeriesRun, on_event: Callable[[SeriesEvent], None]) -> Finished:
        if _exists(run):
            text: TextPaths = ()
            if self._auto:
                written = network_run.config_of_run(RunFolder(run.path))
                settings, text = _settings_of(written, run), self._text
            else:
                settings = changeable_settings(run.config)
            # Where the config names no encodings, those that the run has recorded stay.
            settings = [setting for setting in settings if setting != "corpus.encodings={}"]
            return start.resume(run.path, text=text, settings=settings, on_event=on_event)
        config, auto = run.config, self._auto
        others = [other for other in self.runs if other.swept == run.swept and _exists(other)]
        if auto and others:  # another seed, for which charlm has chosen
            chosen = network_run.config_of_run(RunFolder(others[0].path))
            config, auto = self._chosen(chosen, run), False
        # A run's clock starts in `train`: what only the first run does must come before it.
        if config.training.budget is not None:
            choose_compute(config)
        if auto:
            config = start.choose_config(config, run.settings, on_event)
        return start.train(
            config, name=run.path.name, runs=run.path.parent, auto=False, on_event=on_event
        )

    def _chosen(self, written: Config, run: SeriesRun) -> Config:
        """Return a config that charlm has chosen, with what the user gave for this run."""
        return relocate(written, _settings_of(written, run), self._text)


def _settings_of(written: Config, run: SeriesRun) -> list[str]:
    """Return what the user gave for a run whose other settings charlm has chosen.

    A limit from an earlier command is dropped, because it would end this run before the others.
    """
    limits = ["training.steps=null"]
    if written.training.epochs != EPOCH_LIMIT:
        limits.append("training.epochs=null")
    return [*limits, *run.settings]


def _exists(run: SeriesRun) -> bool:
    return os.path.lexists(run.path)
