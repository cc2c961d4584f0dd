"""Start training and resume it, for `charlm train` and for programs."""

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
from charlm.errors import ConfigError, memory_errors
from charlm.files.locations import from_user
from charlm.runs.creation import NewRun
from charlm.runs.finding import named_run
from charlm.runs.folder import RunFolder
from charlm.runs.names import check_is_free
from charlm.training import network_run
from charlm.training.auto import advise
from charlm.training.calibration import choose_precision
from charlm.training.command_clock import CommandClock
from charlm.training.early_end import discarded_before_first_step
from charlm.training.ensemble_run import check_text, train_members
from charlm.training.events import Advised, Event, Finished
from charlm.training.inputs import Inputs
from charlm.training.launch_rules import check_launch
from charlm.training.limit_rules import check_lowered_limits
from charlm.training.member_logs import locked_folder
from charlm.training.mixing_time import expected_training_seconds
from charlm.training.resume_rules import check_resumable, check_same
from charlm.training.standard_input import kept_text


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
    """Train a model in a new run folder; print nothing, and write no report.

    The arguments are those of `charlm.train`. A time budget counts from the start of `clock`, or
    else from this call.
    """
    clock = clock or CommandClock()
    given = Inputs.of(inputs, text, with_shortcuts(settings, shortcuts), auto)
    resolved, runs, stem = given.resolve(), from_user(runs), given.stem
    check_launch(resolved, name, given.is_chosen)
    with _own_modes(), joined_processes() as processes, _memory_errors(resolved):
        emit = on_event if processes.is_first else _ignore
        if name is not None and _is_restarted(runs / name, processes):
            return _resume(runs / name, processes, emit, clock, expected=resolved)
        new = NewRun(runs, name, stem)
        with kept_text(new, resolved, emit) as config:
            if name is not None and given.is_chosen and new.folder is None:
                check_is_free(runs, name)  # before the advice, which takes seconds
            advised = config
            if given.is_chosen:
                advised = choose_config(config, given.settings, emit, clock)
            return _train(advised, new, processes, emit, clock)


def _train(
    config: Config,
    new: NewRun,
    processes: Processes,
    emit: Callable[[Event], None],
    clock: CommandClock,
) -> Finished:
    """Train a network, or an ensemble, in a new run folder."""
    if config.ensemble.is_wanted:
        config = network_run.check_text(config)
        folder = new.create(config)
        with discarded_before_first_step(folder), folder.locked():
            return train_members(folder, config, processes, emit, clock)

    def make_folder(resolved: Config) -> RunFolder:
        launch = launch_name() if launched().max_restarts else None
        path = processes.run_on_first(lambda: new.create(resolved, launch).path)
        return RunFolder(path, is_writer=processes.is_first)

    return network_run.train_network(config, make_folder, processes, emit, clock)


def resume(
    run: str | PathLike[str],
    *,
    text: TextPaths = (),
    settings: Iterable[str] = (),
    on_event: Callable[[Event], None] = lambda event: None,
    clock: CommandClock | None = None,
    **shortcuts: Unpack[Shortcuts],
) -> Finished:
    """Resume a run from its last checkpoint; the arguments are those of `charlm.resume`."""
    clock, settings = clock or CommandClock(), with_shortcuts(settings, shortcuts)
    with _own_modes(), joined_processes() as processes:
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
        config = relocate(written, settings, text)
        if not written.ensemble.is_wanted:
            check_lowered_limits(folder, checkpoint, written, config)
            with _memory_errors(written):
                return network_run.resume_network(
                    folder, checkpoint, processes, emit, clock, text=text, settings=settings
                )
        check_resumable(path, written, config)
        check_launch(config, str(path), auto=False)
        check_text(folder, config)
        check_lowered_limits(folder, None, written, config)
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
def _own_modes() -> Iterator[None]:
    """Compute gradients inside the block; restore the number of threads of this process after it.

    The caller may have switched gradients off. Raises `ConfigError` if new tensors are not float32:
    the default is one of the whole process.
    """
    if torch.get_default_dtype() != torch.float32:
        raise ConfigError(
            f"charlm trains in float32, and this process makes {torch.get_default_dtype()}; call "
            "torch.set_default_dtype(torch.float32) first"
        )
    threads = torch.get_num_threads()
    try:
        with torch.inference_mode(False), torch.enable_grad():
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


def choose_config(
    config: Config,
    settings: Iterable[str],
    emit: Callable[[Event], None],
    clock: CommandClock | None = None,
) -> Config:
    """Choose a config for the text and the budget; keys in `settings` keep their values.

    Without `clock`, the whole budget is left to the run.
    """
    settled = {setting.partition("=")[0].strip() for setting in settings}
    if config.training.budget is None and not settled & {"training.epochs", "training.steps"}:
        raise ConfigError(
            "--auto plans the training for a limit; give --budget, --epochs or --steps"
        )
    corpus, precision = build_corpus(config.corpus), choose_precision(config)
    seconds = None
    if config.training.budget is not None:
        seconds = expected_training_seconds(config, corpus, clock.seconds() if clock else 0.0)
    advice = advise(config, corpus, settled, precision, seconds)
    emit(Advised(advice.reasons))
    return advice.config
