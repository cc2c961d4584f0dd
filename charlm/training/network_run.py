"""The run of one network: begun, and gone on with."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from charlm.config.load import relocate
from charlm.config.schema import Config
from charlm.corpus.known_characters import corpus_of
from charlm.distributed.launch import launch_name, launched
from charlm.distributed.processes import processes
from charlm.environment.memory import is_out_of_memory
from charlm.errors import CheckpointError, ConfigError, RunError
from charlm.runs.checkpoint import is_readable, read_checkpoint
from charlm.runs.folder import OthersRun, Run
from charlm.runs.training_text import training_corpus
from charlm.training.events import Advised, Event, Finished
from charlm.training.fine_tuning import read_start
from charlm.training.loop import Session
from charlm.training.resume_rules import check_not_begun, check_resumable, decided
from charlm.training.rollback import Rollback


def begin(
    config: Config,
    name: str | None,
    stem: str,
    runs: Path,
    on_event: Callable[[Event], None],
    *,
    is_scored: bool = True,
    member: Run | None = None,
) -> Finished:
    """Train a network in a new folder below `runs`; `is_scored` is as in `Session`.

    `member` is the run object of that folder if the network is a member of an ensemble.
    """
    session = _begun(config, on_event, is_scored)

    def make() -> Path:
        launch = launch_name() if launched().most_restarts else None
        return Run.create(runs, name, stem, session.config, launch).folder

    folder = session.processes.of_first(make)
    run = run_of(folder) if member is None else member
    try:
        with run.locked():
            return session.run_in(run)
    except Exception as error:
        if is_out_of_memory(error) and session.state.trainer.step == 0:
            run.discard()  # it contains nothing of value
        raise


def go_on(
    run: Run,
    written: Config | None,
    on_event: Callable[[Event], None],
    *,
    text: str | Path | Iterable[str | Path] = (),
    settings: Iterable[str] = (),
    is_scored: bool = True,
) -> Finished:
    """Go on from the last checkpoint of a run, which is locked.

    `written` is the config in its folder, where a crash has left one.
    """
    if written is None or run.last.exists():
        session = _restored(run, written, text, settings, on_event, is_scored)
        run.write_config(session.config)
        return session.run_in(run)
    config = relocate(written, settings, text)
    check_resumable(run.folder, written, config)
    check_not_begun(run)
    session = _begun(config, on_event, is_scored)
    run.write_config(session.config)
    run.discard_after(0, {})
    return session.run_in(run)


def run_of(folder: Path) -> Run:
    """Return the run of a folder, whose files the first process alone writes."""
    return Run(folder) if processes().is_first else OthersRun(folder)


def check_text(config: Config) -> None:
    """Check the text of a run before its folder is made; raises the error."""
    vocabulary = None
    if config.training.start_from is not None:
        begin_with, _ = read_start(config.training.start_from)
        config, vocabulary = _shaped_like(begin_with.config, config), begin_with.vocabulary
    corpus_of(config, vocabulary)


def _begun(config: Config, on_event: Callable[[Event], None], is_scored: bool) -> Session:
    """Return a session before its first step."""
    begin_with = None
    if config.training.start_from is not None:
        begin_with, remark = read_start(config.training.start_from)
        if remark and processes().is_first:
            on_event(Advised((remark,)))
        config = _shaped_like(begin_with.config, config)
    vocabulary = begin_with.vocabulary if begin_with else None
    corpus = processes().in_turn(lambda: corpus_of(config, vocabulary))
    session = Session(config, corpus, on_event, is_scored)
    if begin_with is not None:
        session.state.start_from(begin_with)
    return session


def _restored(
    run: Run,
    written: Config | None,
    text: str | Path | Iterable[str | Path],
    settings: Iterable[str],
    on_event: Callable[[Event], None],
    is_scored: bool,
) -> Session:
    """Return a session where the last checkpoint was saved, and the logs as they were then."""
    try:
        checkpoint = read_checkpoint(run.last)
    except CheckpointError as reason:
        others = [path for path in (run.rollback, run.best) if is_readable(path)]
        begin = f"; or begin a run with --set training.start_from={others[0]}" if others else ""
        raise CheckpointError(f"{reason}{begin}") from None
    checkpoint.make_model()  # or it is refused
    if not checkpoint.training_tensors:
        raise RunError(
            f"{run.last}: contains no training state to resume; start a new run from its weights: "
            f"--set training.start_from={run.last}"
        )
    checkpoint = replace(checkpoint, config=decided(checkpoint.config))
    before = decided(written) if written is not None else checkpoint.config
    config = relocate(before, settings, text)
    check_resumable(run.folder, checkpoint.config, config)
    corpus = processes().in_turn(lambda: training_corpus(replace(checkpoint, config=config)))
    session = Session(config, corpus, on_event, is_scored)
    Rollback(session.state, run).resume(checkpoint)
    if config.corpus != checkpoint.config.corpus:
        run.note_text(config.corpus)
    return session


def _shaped_like(source: Config, config: Config) -> Config:
    """Take over the network's shape from the checkpoint that training starts from."""
    if source.corpus.unit != config.corpus.unit:
        raise ConfigError(
            f"training.start_from: that model has corpus.unit {source.corpus.unit}, this config "
            f"{config.corpus.unit}; set them alike"
        )
    kept = {"dropout", "locked_dropout", "embedding_dropout", "implementation"}
    ours = config.model.model_dump(include=kept)
    return config.model_copy(update={"model": source.model.model_copy(update=ours)})
