"""Start training and resume it: the Python interface of `charlm train`."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from os import PathLike
from pathlib import Path
from typing import Unpack

import torch

from charlm.config.load import relocate
from charlm.config.schema import Config
from charlm.config.settings import TextPaths
from charlm.config.shortcuts import Shortcuts, with_shortcuts
from charlm.corpus.builder import build_corpus
from charlm.distributed.joining import joined_processes
from charlm.distributed.launch import launch_name, launched
from charlm.distributed.processes import Processes
from charlm.environment.memory import is_out_of_memory
from charlm.errors import ConfigError, memory_errors
from charlm.files.locations import from_user
from charlm.runs.creation import create_run_folder
from charlm.runs.finding import named_run
from charlm.runs.folder import RunFolder
from charlm.runs.names import check_is_free
from charlm.training import network_run
from charlm.training.auto import advise
from charlm.training.calibration import choose_precision
from charlm.training.command_clock import CommandClock
from charlm.training.ensemble_run import check_text, train_members
from charlm.training.events import Advised, Event, Finished
from charlm.training.inputs import Inputs
from charlm.training.launch_rules import check_launch
from charlm.training.member_logs import locked_folder
from charlm.training.mixing_time import expected_training_seconds
from charlm.training.resume_rules import check_resumable, check_same
from charlm.training.standard_input import AUTO, check_text_can_be_read_again


def train(
    *inputs: str | PathLike[str] | Config,
    text: TextPaths = (),
    settings: Iterable[str] = (),
    name: str | None = None,
    runs: str | PathLike[str] = "runs",
    auto: bool | None = None,
    on_event: Callable[[Event], None] = lambda event: None,
    clock: CommandClock | None = None,
    **shortcuts: Unpack[Shortcuts],
) -> Finished:
    """Train a model in a new run folder, `runs/name`, as `charlm train` does; print nothing.

    `inputs` are texts (files, folders, globs, "-") and at most one config (the name of a shipped
    one, a .yaml file or a `Config`), in any order. For a text without a config, charlm chooses
    model, batches and schedule, except what is set: for 5 minutes, or until the limit that is set.
    Without a text, it trains on that of the config (default: "quickstart").

    `text` names texts, too, `auto` decides whether charlm chooses, and `settings`
    (`section.key=value`) set keys of the config. Short names of keys are `budget`, `epochs`,
    `steps`, `learning_rate`, `batch_size`, `sequence_length`, `seed`, `deterministic`, `cell`,
    `layers`, `hidden_size` and `dropout`. Without `name`, runs are numbered under the name of the
    text, or of the config without a text. `on_event` gets each event; if it raises an exception,
    training saves after the step and raises it. A time budget counts from the start of `clock`, or
    else from this call.

    Raises `CharlmError`. On Ctrl-C it saves and raises `KeyboardInterrupt`. The processes of a
    `torchrun` launch train one model together; after a restart they resume the run.
    """
    clock = clock or CommandClock()
    given = Inputs.of(inputs, text, with_shortcuts(settings, shortcuts), auto)
    resolved, runs, stem = given.resolve(), from_user(runs), given.stem
    check_launch(resolved, name, given.is_chosen)
    with _restore_threads(), joined_processes() as processes, _memory_errors(resolved):
        emit = on_event if processes.is_first else _ignore
        if name is not None and _is_restarted(runs / name, processes):
            return _resume(runs / name, processes, emit, clock, expected=resolved)
        if given.is_chosen:
            if name is not None:
                check_is_free(runs, name)  # before the advice, which takes seconds
            resolved = _advised(resolved, given.settings, emit, clock)
        if resolved.ensemble.is_wanted:
            check_text_can_be_read_again(resolved, "an ensemble")
            resolved = network_run.check_text(resolved)
            folder = create_run_folder(runs, name, stem, resolved)
            try:
                with folder.locked():
                    return train_members(folder, resolved, processes, emit, clock)
            except (Exception, KeyboardInterrupt) as error:
                if isinstance(error, KeyboardInterrupt) or is_out_of_memory(error):
                    folder.discard()  # unless it contains a member
                raise

        def make_folder(resolved: Config) -> RunFolder:
            launch = launch_name() if launched().max_restarts else None
            path = processes.run_on_first(
                lambda: create_run_folder(runs, name, stem, resolved, launch).path
            )
            return RunFolder(path, is_writer=processes.is_first)

        return network_run.train_network(resolved, make_folder, processes, emit, clock)


def resume(
    run: str | PathLike[str],
    *,
    text: TextPaths = (),
    settings: Iterable[str] = (),
    on_event: Callable[[Event], None] = lambda event: None,
    clock: CommandClock | None = None,
    **shortcuts: Unpack[Shortcuts],
) -> Finished:
    """Resume a run from its last checkpoint, with the same results as without the stop.

    The settings are those of the checkpoint; changes of `config.yaml` are ignored and reported.
    `text` gives the new path of a text that has moved; the settings `corpus.validation_paths` and
    `corpus.test_paths` give those of separate files. Settings may also change the limits of
    training, and how often it logs, validates and saves; the short names are those of `train`.
    Raises `RunError` if a setting changes anything that finished steps depend on, and `CorpusError`
    for another text.
    """
    clock, settings = clock or CommandClock(), with_shortcuts(settings, shortcuts)
    with _restore_threads(), joined_processes() as processes:
        emit = on_event if processes.is_first else _ignore
        return _resume(
            named_run(from_user(run), Path("runs")),
            processes,
            emit,
            clock,
            text=text,
            settings=settings,
        )


def _resume(
    path: Path,
    processes: Processes,
    emit: Callable[[Event], None],
    clock: CommandClock,
    *,
    text: TextPaths = (),
    settings: Iterable[str] = (),
    expected: Config | None = None,
) -> Finished:
    """Resume a run; `expected` is the config that it should have."""
    with locked_folder(path, is_writer=processes.is_first) as folder:
        checkpoint = network_run.checkpoint_to_resume(folder)
        written = checkpoint.config if checkpoint is not None else folder.read_config()
        if expected is not None:
            check_same(path, written, expected)
        if not written.ensemble.is_wanted:
            with _memory_errors(written):
                return network_run.resume_network(
                    folder, checkpoint, processes, emit, clock, text=text, settings=settings
                )
        config = relocate(written, settings, text)
        check_resumable(path, written, config)
        check_launch(config, str(path), auto=False)
        check_text(folder, config)
        folder.write_config(config)
        with _memory_errors(config):
            return train_members(folder, config, processes, emit, clock)


def _is_restarted(path: Path, processes: Processes) -> bool:
    """Return whether `torchrun` has restarted the processes that train in this folder."""
    restarts = processes.sum(float(launched().restarts))  # machines may count differently
    if not restarts:
        return False
    return processes.run_on_first(lambda: RunFolder(path).was_made_by(launch_name()))


def _ignore(event: Event) -> None:
    pass


@contextmanager
def _restore_threads() -> Iterator[None]:
    """Restore the number of threads of this process after the block."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _memory_errors(config: Config) -> AbstractContextManager[None]:
    """Turn a lack of memory into an error that names the settings to change."""
    batches = config.batches
    return memory_errors(
        f"lower model.hidden_size (now {config.model.hidden_size}), batches.batch_size "
        f"({batches.batch_size}) or batches.sequence_length ({batches.sequence_length}); or raise "
        f"training.accumulate ({config.training.accumulate}), also possible with --resume",
        ConfigError,
    )


def _advised(
    config: Config,
    settings: Iterable[str],
    emit: Callable[[Event], None],
    clock: CommandClock,
) -> Config:
    """Choose a config for the text and the budget; keys in `settings` keep their values."""
    settled = {setting.partition("=")[0].strip() for setting in settings}
    if config.training.budget is None and not settled & {"training.epochs", "training.steps"}:
        raise ConfigError(
            "--auto plans the training for a limit; give --budget, --epochs or --steps"
        )
    check_text_can_be_read_again(config, AUTO)
    corpus, precision = build_corpus(config.corpus), choose_precision(config)
    seconds = None
    if config.training.budget is not None:
        seconds = expected_training_seconds(config, corpus, clock.seconds())
    advice = advise(config, corpus, settled, precision, seconds)
    emit(Advised(advice.reasons))
    return advice.config
