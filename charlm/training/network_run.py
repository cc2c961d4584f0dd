"""Train one network: in a new run folder, or resumed from its last checkpoint."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from charlm.config.load import relocate
from charlm.config.schema import Config
from charlm.config.settings import TextPaths
from charlm.corpus.corpus import Corpus
from charlm.corpus.known_characters import corpus_of
from charlm.distributed.processes import Processes
from charlm.errors import CheckpointError, ConfigError, RunError
from charlm.kernels.compute import Compute
from charlm.runs.checkpoint import Checkpoint, is_readable, read_checkpoint
from charlm.runs.folder import RunFolder
from charlm.runs.training_text import training_corpus
from charlm.training.calibration import can_compile, choose_compute
from charlm.training.command_clock import CommandClock
from charlm.training.determinism import deterministic
from charlm.training.early_end import discarded_before_first_step
from charlm.training.event_files import check_log_to
from charlm.training.events import Advised, Event, Finished
from charlm.training.fine_tuning import read_start
from charlm.training.loop import TrainingLoop
from charlm.training.resume_rules import check_not_begun, check_resumable, ignored_edits
from charlm.training.rollback import Rollback
from charlm.training.state import TrainingState
from charlm.training.time_budget import KeptTime


def train_network(
    config: Config,
    make_folder: Callable[[Config], RunFolder],
    processes: Processes,
    emit: Callable[[Event], None],
    clock: CommandClock,
    *,
    scores_at_end: bool = True,
    kept: KeptTime = KeptTime(),  # noqa: B008 - it is frozen
) -> Finished:
    """Train a network in the run folder that `make_folder` creates."""
    state = _initial_state(config, processes, emit)
    folder = make_folder(state.config)
    with discarded_before_first_step(folder, lambda: state.trainer.step), folder.locked():
        return TrainingLoop(state, folder, emit, clock, kept, scores_at_end=scores_at_end).run()


def resume_network(
    folder: RunFolder,
    checkpoint: Checkpoint | None,
    processes: Processes,
    emit: Callable[[Event], None],
    clock: CommandClock,
    *,
    text: TextPaths = (),
    settings: Iterable[str] = (),
    scores_at_end: bool = True,
    kept: KeptTime = KeptTime(),  # noqa: B008 - it is frozen
    replaceable_teachers: int = 0,
) -> Finished:
    """Resume from the last checkpoint of a run folder, which is locked.

    The checkpoint's config decides; before the first save, that in config.yaml does. The last
    `replaceable_teachers` ones may have been trained longer since the checkpoint.
    """
    folder.logs.check()
    if checkpoint is not None:
        if edits := ignored_edits(folder, checkpoint.config):
            emit(Advised((edits,)))
        config = relocate(checkpoint.config, settings, text)
        state = _restored_state(folder, checkpoint, config, processes, replaceable_teachers)
    else:
        written = folder.read_config()
        config = relocate(written, settings, text)
        check_resumable(folder.path, written, config)
        check_not_begun(folder)
        state = _initial_state(config, processes, emit)
        folder.discard_after(0, {})
    folder.write_config(state.config)
    return TrainingLoop(state, folder, emit, clock, kept, scores_at_end=scores_at_end).run()


def check_text(config: Config) -> Config:
    """Return the config with the encodings of its text, before a run folder is created.

    Raises `CharlmError` for a text that cannot be trained on.
    """
    check_log_to(config)
    return _with_encodings(config, corpus_to_train_on(config))


def corpus_to_train_on(config: Config) -> Corpus:
    """Return the corpus that a new run with this config would train on; raises `CharlmError`."""
    vocabulary = None
    if config.training.start_from is not None:
        initial, _ = read_start(config.training.start_from)
        config, vocabulary = _with_model_of(initial.config, config), initial.vocabulary
    return corpus_of(config, vocabulary)


def config_of_run(folder: RunFolder) -> Config:
    """Return the config of a run: that of its last checkpoint, else that in config.yaml."""
    checkpoint = checkpoint_to_resume(folder)
    return checkpoint.config if checkpoint is not None else folder.read_config()


def _with_encodings(config: Config, corpus: Corpus) -> Config:
    """Return the config with the encodings that were recognised, to read the files in them."""
    return config.replace(corpus={"encodings": dict(corpus.encodings)})


def _initial_state(
    config: Config, processes: Processes, emit: Callable[[Event], None]
) -> TrainingState:
    """Return the state before the first step."""
    initial = None
    if config.training.start_from is not None:
        initial, remark = read_start(config.training.start_from)
        if remark:
            emit(Advised((remark,)))
        config = _with_model_of(initial.config, config)
    vocabulary = initial.vocabulary if initial else None
    corpus = processes.run_in_turn(lambda: corpus_of(config, vocabulary))
    state = _make_state(_with_encodings(config, corpus), None, corpus, processes)
    if initial is not None:
        state.start_from(initial)
    return state


def _restored_state(
    folder: RunFolder,
    checkpoint: Checkpoint,
    config: Config,
    processes: Processes,
    replaceable_teachers: int,
) -> TrainingState:
    """Return the state of the last checkpoint; cut the logs to their sizes at that time.

    The checkpoint gets the settings in which `config` differs, before any step uses them.
    """
    check_resumable(folder.path, checkpoint.config, config, checkpoint.compute.precision)
    corpus = processes.run_in_turn(lambda: training_corpus(replace(checkpoint, config=config)))
    config = _with_encodings(config, corpus)
    state = _make_state(config, checkpoint, corpus, processes, replaceable_teachers)
    Rollback(state, folder).resume(checkpoint)
    if (config, state.compute) != (checkpoint.config, checkpoint.compute):
        folder.change_settings(replace(checkpoint, config=config, compute=state.compute))
    return state


def checkpoint_to_resume(folder: RunFolder) -> Checkpoint | None:
    """Return the last checkpoint, or None before the first save.

    Raises the error of one that cannot be resumed.
    """
    if not folder.last.exists():
        return None
    try:
        checkpoint = read_checkpoint(folder.last)
    except CheckpointError as reason:
        readable = [path for path in (folder.rollback, folder.best) if is_readable(path)]
        setting = "--set training.start_from="
        hint = f"; or start a new run with {setting}{readable[0]}" if readable else ""
        raise CheckpointError(f"{reason}{hint}") from None
    checkpoint.make_model()  # raises an error for weights that are no model's
    if not checkpoint.training_tensors:
        raise RunError(
            f"{folder.last}: contains no training state to resume; start a new run from its "
            f"weights: --set training.start_from={folder.last}"
        )
    return checkpoint


def _make_state(
    config: Config,
    checkpoint: Checkpoint | None,
    corpus: Corpus,
    processes: Processes,
    replaceable_teachers: int = 0,
) -> TrainingState:
    check_log_to(config)
    compute = processes.run_on_first(lambda: _decide_compute(config, checkpoint))
    with deterministic(config.training.deterministic):
        return TrainingState(
            config, compute, corpus, processes, replaceable_teachers=replaceable_teachers
        )


def _decide_compute(config: Config, checkpoint: Checkpoint | None) -> Compute:
    """Return precision and threads; a resumed run keeps its precision.

    It keeps its number of threads only where the results depend on it: without the kernels.
    """
    if checkpoint is None:
        return choose_compute(config)
    has_changed = config.training.threads != checkpoint.config.training.threads
    if has_changed or can_compile(config):
        return choose_compute(config, checkpoint.compute.precision)
    return checkpoint.compute


def _with_model_of(source: Config, config: Config) -> Config:
    """Return `config` with the shape of the network that training starts from."""
    if source.corpus.unit != config.corpus.unit:
        raise ConfigError(
            f"training.start_from: that model has corpus.unit {source.corpus.unit}, this config "
            f"{config.corpus.unit}; set both to the same"
        )
    kept = {"dropout", "locked_dropout", "embedding_dropout", "implementation"}
    ours = config.model.model_dump(include=kept)
    return config.replace(model=source.model.replace(**ours))
