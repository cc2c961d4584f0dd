"""Where the parts meet: start a run, and go on with one."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import torch

from charlm.config.load import load_config, make_config, override, relocate
from charlm.config.schema import Config
from charlm.corpus.builder import build_corpus
from charlm.distributed.launch import launch_name, launched
from charlm.distributed.processes import processes, together
from charlm.errors import ConfigError, memory_errors
from charlm.files.locations import from_user
from charlm.models.language_model import choose_device
from charlm.runs.folder import Run
from charlm.training import network_run
from charlm.training.auto import advise
from charlm.training.calibration import resolve
from charlm.training.ensemble_run import check_text, train_members
from charlm.training.events import Advised, Event, Finished
from charlm.training.member_logs import as_member
from charlm.training.resume_rules import check_resumable, check_same


@contextmanager
def _threads_as_found() -> Iterator[None]:
    """Restore the number of threads of the process after a run."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def train(
    config: str | Path | Config = "quickstart",
    *,
    text: str | Path | Iterable[str | Path] = (),
    settings: Iterable[str] = (),
    name: str | None = None,
    runs: str | Path = "runs",
    auto: bool = False,
    on_event: Callable[[Event], None] = lambda event: None,
) -> Finished:
    """Train a model: a config by name or file, `section.key=value` settings on top.

    `text` (files, folders, globs) replaces the config's text before the settings apply. With
    `auto`, `advice` chooses model, batches and schedule for the text. All files are written below
    `runs/name`; `on_event` receives each event. Raises `CharlmError`. On Ctrl-C it saves the run
    and raises `KeyboardInterrupt`. The processes of a `torchrun` launch train one model together;
    after a restart they resume the run.
    """
    stem = "run" if isinstance(config, Config) else Path(config).stem
    if auto and stem == "quickstart":  # of which nothing is left
        stem = "auto"
    settings = list(settings)
    if isinstance(config, Config):
        resolved = override(config, settings, text)
    else:
        resolved = load_config(config, settings, text)
    _check_launch(resolved, name, auto)
    with _threads_as_found(), together(), _memory_errors(resolved):
        return _train(resolved, stem, settings, name, from_user(runs), auto, on_event)


def _train(
    resolved: Config,
    stem: str,
    settings: Iterable[str],
    name: str | None,
    runs: Path,
    auto: bool,
    on_event: Callable[[Event], None],
) -> Finished:
    restarts = processes().sum(float(launched().restarts))  # machines may count differently
    if restarts and name is not None:
        before = Run(runs / name)
        if processes().of_first(lambda: before.was_made_by(launch_name())):
            check_same(before, resolved)
            return resume(before.folder, on_event=on_event)
    if auto:
        resolved = _advised(resolved, settings, on_event)
    if resolved.ensemble.is_wanted:
        _text_to_read_again(resolved, "an ensemble")
        network_run.check_text(resolved)
        whole = Run.create(runs, name, stem, resolved)
        with whole.locked():
            return train_members(whole, resolved, on_event)
    return network_run.begin(resolved, name, stem, runs, on_event)


def _check_launch(config: Config, name: str | None, auto: bool) -> None:
    """Refuse what `torchrun` cannot do."""
    launch = launched()
    if launch.most_restarts and name is None:
        raise ConfigError(
            "torchrun --max-restarts goes on with a run by its name: give --name, or leave out "
            "--max-restarts"
        )
    if launch.most_restarts and not launch_name():
        raise ConfigError(
            "torchrun --max-restarts on several machines: nothing tells this launch from another, "
            "whose run it could take up; give torchrun --rdzv-id, another one each time, or leave "
            "out --max-restarts"
        )
    if launch.most_restarts and auto:
        raise ConfigError("--auto: measures anew at each start; leave out torchrun --max-restarts")
    if launch.most_restarts and config.ensemble.is_wanted:
        raise ConfigError(
            "an ensemble: many runs, which --resume goes on with; leave out torchrun --max-restarts"
        )
    if launch.size == 1:
        return
    if auto or config.ensemble.is_wanted:
        what = "--auto" if auto else "an ensemble"
        raise ConfigError(f"{what}: a task for one process; start charlm without torchrun")
    if choose_device(config.training.device).type == "mps":
        raise ConfigError("training.device mps: takes one process; set it to cpu for several")
    _text_to_read_again(config, "each process of torchrun")


@_threads_as_found()
@together()
def resume(
    run: str | Path,
    *,
    text: str | Path | Iterable[str | Path] = (),
    settings: Iterable[str] = (),
    on_event: Callable[[Event], None] = lambda event: None,
) -> Finished:
    """Resume a run from its last checkpoint, with the same results as without the stop.

    `text` gives the new path of a text that has moved; the settings `corpus.validation_paths` and
    `corpus.test_paths` give those of separate files. Settings may also change the limits and the
    reports of the run. Raises `RunError` if a setting changes anything that finished steps depend
    on, and `CorpusError` for another text.
    """
    folder = as_member(network_run.run_of(from_user(run)))
    folder.read_config()  # or there is nothing to lock
    with folder.locked():
        written = folder.read_config()
        if written is None or not written.ensemble.is_wanted:
            with _memory_errors(written or Config()):
                return network_run.go_on(folder, written, on_event, text=text, settings=settings)
        config = relocate(written, settings, text)
        check_resumable(run, written, config)
        _check_launch(config, str(run), auto=False)
        check_text(folder, config)
        folder.write_config(config)
        with _memory_errors(config):
            return train_members(folder, config, on_event)


def _memory_errors(config: Config) -> AbstractContextManager[None]:
    """Report that a run does not fit in memory, and which settings to change."""
    batches = config.batches
    return memory_errors(
        f"lower model.hidden_size (now {config.model.hidden_size}), batches.batch_size "
        f"({batches.batch_size}) or batches.sequence_length ({batches.sequence_length}); or raise "
        f"training.accumulate ({config.training.accumulate}), also possible with --resume",
        ConfigError,
    )


def _advised(config: Config, settings: Iterable[str], on_event: Callable[[Event], None]) -> Config:
    """Choose what suits the text; what was set stays."""
    settled = {setting.partition("=")[0].strip() for setting in settings}
    if config.training.budget is None or settled & {"training.epochs", "training.steps"}:
        raise ConfigError(
            "--auto lays the training out for a --budget; give one, and leave out training.epochs "
            "and training.steps"
        )
    _text_to_read_again(config, "--auto")
    advice = advise(resolve(config), build_corpus(config.corpus), settled)
    on_event(Advised(advice.reasons))
    threads = {"threads": config.training.threads}  # those of another model were tried
    training = advice.config.training.model_copy(update=threads)
    advised = advice.config.model_copy(update={"training": training})
    return make_config(advised.model_dump(), "--auto")


def _text_to_read_again(config: Config, what: str) -> None:
    if "-" in config.corpus.paths:
        raise ConfigError(f"{what} reads the text more than once: save it in a file for --text")
