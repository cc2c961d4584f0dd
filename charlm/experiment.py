"""Where the parts meet: start a run, and go on with one."""

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from charlm.advice import advise
from charlm.calibration import resolve
from charlm.checkpoint import read_checkpoint
from charlm.config import Config, EnsembleConfig
from charlm.config_file import load_config, override, with_text
from charlm.corpus import build_corpus
from charlm.errors import CheckpointError, ConfigError, RunError, file_errors
from charlm.machine import launch_name, launched
from charlm.mixing import mix_members
from charlm.model import LanguageModel, choose_device
from charlm.parallel import processes, together
from charlm.predictor import training_corpus
from charlm.reports import Advised, Finished, Report, Stopping
from charlm.resumption import (
    MAY_CHANGE,
    check_not_begun,
    check_resumable,
    check_same,
    decided,
)
from charlm.run import OthersRun, Run, checkpoint_to_use
from charlm.session import Session


def train(
    config: str | Path | Config = "quickstart",
    *,
    text: str | Path | Iterable[str | Path] = (),
    settings: Iterable[str] = (),
    name: str | None = None,
    runs: str | Path = "runs",
    auto: bool = False,
    on_report: Callable[[Report], None] = lambda report: None,
) -> Finished:
    """Train a model: a config by name or file, `section.key=value` settings on top.

    `text` (files, folders, globs) takes the place of the config's text. With `auto`, model, batches
    and schedule are those that `advice` chooses for the text. Everything is written
    below `runs/name`; `on_report` sees each report as it comes. Raises `CharlmError`; on Ctrl-C
    the run is saved first and `KeyboardInterrupt` raised then. Several processes that `torchrun`
    has started train it together; those that it has started anew go on with the run.
    """
    stem = "run" if isinstance(config, Config) else Path(config).stem
    settings = list(settings)
    if isinstance(config, Config):
        resolved = override(config, settings)
    else:
        resolved = load_config(config, settings)
    resolved = with_text(resolved, text)
    _check_launch(resolved, name, auto)
    with together():
        return _train(resolved, stem, settings, name, Path(runs), auto, on_report)


def _train(
    resolved: Config,
    stem: str,
    settings: Iterable[str],
    name: str | None,
    runs: Path,
    auto: bool,
    on_report: Callable[[Report], None],
) -> Finished:
    restarts = processes().sum(float(launched().restarts))  # machines may count differently
    if restarts and name is not None:
        before = Run(runs / name)
        if processes().of_first(lambda: before.was_made_by(launch_name())):
            check_same(before, resolved)
            return resume(before.folder, on_report=on_report)
    if auto:
        resolved = _advised(resolved, settings, on_report)
    if resolved.ensemble.is_wanted:
        _text_to_read_again(resolved, "an ensemble")
        build_corpus(resolved.corpus)  # what is wrong with it is said before there is a folder
        whole = Run.create(runs, name, stem, resolved)
        with whole.locked():
            return _train_members(whole, resolved, on_report)
    session = _begin(resolved, on_report)

    def make() -> Path:
        made = Run.create(runs, name, stem, session.config)
        if launched().most_restarts:
            made.mark_launch(launch_name())
        return made.folder

    run = _run_of(session.processes.of_first(make))
    with run.locked():
        return session.run_in(run)


def _run_of(folder: Path) -> Run:
    """Return the run of a folder, whose files the first process alone writes."""
    return Run(folder) if processes().is_first else OthersRun(folder)


def _check_launch(config: Config, name: str | None, auto: bool) -> None:
    """Refuse what `torchrun` cannot do."""
    launch = launched()
    if launch.most_restarts and name is None:
        raise ConfigError(
            "torchrun --max-restarts goes on with a run by its name: give --name, or leave out "
            "--max-restarts"
        )
    if launch.most_restarts and auto:
        raise ConfigError("--auto: measures anew at each start; leave out torchrun --max-restarts")
    if launch.size == 1:
        return
    if auto or config.ensemble.is_wanted:
        what = "--auto" if auto else "an ensemble"
        raise ConfigError(f"{what}: a task for one process; start charlm without torchrun")
    if choose_device(config.training.device).type == "mps":
        raise ConfigError("training.device mps: takes one process; set it to cpu for several")
    _text_to_read_again(config, "each process of torchrun")


def _begin(config: Config, on_report: Callable[[Report], None]) -> Session:
    """Return a session before its first step."""
    begin_with = None
    if config.training.start_from is not None:
        begin_with = read_checkpoint(checkpoint_to_use(Path(config.training.start_from)))
        if not isinstance(begin_with.make_model(), LanguageModel):
            raise ConfigError(
                f"training.start_from: {config.training.start_from} holds an ensemble; name the "
                "folder of one of its members"
            )
        config = _shaped_like(begin_with.config, config)
    vocabulary = begin_with.vocabulary if begin_with else None
    corpus = processes().in_turn(lambda: build_corpus(config.corpus, vocabulary))
    session = Session(config, corpus, on_report)
    if begin_with is not None:
        session.state.model.load_state_dict(begin_with.weights)
    return session


@together()
def resume(
    run: str | Path,
    *,
    text: str | Path | Iterable[str | Path] = (),
    settings: Iterable[str] = (),
    on_report: Callable[[Report], None] = lambda report: None,
) -> Finished:
    """Go on with a run from its last checkpoint, as if it had never stopped.

    `text` says where the text is now, should it have moved. Settings may change how long the run
    goes on and what it reports; a change of anything that the steps already taken depend on
    raises `RunError`, and another text `CorpusError`.
    """
    folder = _run_of(Path(run))
    with file_errors("be read", run, "check the path"):
        has_config = folder.config_file.exists() and folder.config_file.stat().st_size > 0
        if not folder.last.exists() and not has_config:
            raise RunError(f"{run}: no checkpoint to resume here; give the folder of a run")
    with folder.locked():
        written = load_config(folder.config_file) if has_config else None
        if written is None or (folder.last.exists() and not written.ensemble.is_wanted):
            session = _restored(folder, written, text, settings, on_report)
            folder.write_config(session.config)
            return session.run_in(folder)
        config = with_text(override(written, settings), text)
        check_resumable(run, written, config)
        if written.ensemble.is_wanted:
            _check_launch(config, str(run), auto=False)
            build_corpus(config.corpus)
            folder.write_config(config)
            return _train_members(folder, config, on_report)
        check_not_begun(folder)
        session = _begin(config, on_report)
        folder.write_config(session.config)
        folder.go_back(0, {})
        return session.run_in(folder)


def _restored(
    folder: Run,
    written: Config | None,
    text: str | Path | Iterable[str | Path],
    settings: Iterable[str],
    on_report: Callable[[Report], None],
) -> Session:
    """Return a session where the last checkpoint was saved, and the logs as they were then."""
    checkpoint = read_checkpoint(folder.last)
    checkpoint.make_model()  # or it is refused
    if not checkpoint.training_tensors:
        raise RunError(f"{folder.last}: holds no state of training to go on from; train anew")
    checkpoint = replace(checkpoint, config=decided(checkpoint.config))
    before = decided(written) if written is not None else checkpoint.config
    config = with_text(override(before, settings), text)
    check_resumable(folder.folder, checkpoint.config, config)
    corpus = processes().in_turn(lambda: training_corpus(replace(checkpoint, config=config)))
    session = Session(config, corpus, on_report)
    try:
        session.state.restore(checkpoint)
        logged = checkpoint.training_counters["log_sizes"].items()
        sizes = {name: int(size) for name, size in logged}
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        raise CheckpointError(
            f"{folder.last}: its state of training does not fit its config; train anew"
        ) from None
    folder.go_back(session.state.trainer.step, sizes)
    if checkpoint.training_counters.get("is_good", True):  # what else is there, a crash has left
        folder.forget_good()
    return session


def _advised(
    config: Config, settings: Iterable[str], on_report: Callable[[Report], None]
) -> Config:
    """Choose what suits the text; settings have the last word."""
    if config.training.budget is None or config.training.epochs or config.training.steps:
        raise ConfigError(
            "--auto lays the training out for a --budget; give one, and leave out training.epochs "
            "and training.steps"
        )
    _text_to_read_again(config, "--auto")
    corpus = build_corpus(config.corpus)
    advice = advise(resolve(config), len(corpus.parts["train"]), len(corpus.vocabulary))
    on_report(Advised(advice.reasons))
    threads = {"threads": config.training.threads}  # those of another model were tried
    training = advice.config.training.model_copy(update=threads)
    advised = advice.config.model_copy(update={"training": training})
    return override(advised, (s for s in settings if not s.startswith("training.budget=")))


def _text_to_read_again(config: Config, what: str) -> None:
    if "-" in config.corpus.paths:
        raise ConfigError(f"{what} reads the text more than once: save it in a file for --text")


def _train_members(run: Run, config: Config, on_report: Callable[[Report], None]) -> Finished:
    """Train the members that are still to train, each as a run of its own, and mix them."""

    def report(of_member: Report) -> None:
        if not isinstance(of_member, Finished):
            on_report(Stopping(run) if isinstance(of_member, Stopping) else of_member)

    finished = []
    for number in range(config.ensemble.size):
        member = _member(run, number)
        own = _member_config(run, config, number)
        if member.last.exists():
            settings = [
                f"{section}.{key}={json.dumps(value, ensure_ascii=False)}"
                for section, keys in MAY_CHANGE.items()
                for key, value in getattr(own, section).model_dump(include=keys).items()
            ]
            finished.append(resume(member.folder, settings=settings, on_report=report))
        else:
            check_not_begun(member)
            shutil.rmtree(member.folder, ignore_errors=True)  # it has not begun
            name = member.folder.name
            finished.append(train(own, name=name, runs=run.folder, on_report=report))
    return mix_members(run, config, finished, on_report)


def _member(run: Run, number: int) -> Run:
    return Run(run.folder / f"member-{number + 1}")


def _member_config(run: Run, config: Config, number: int) -> Config:
    """Return what a member trains, in its share of the time; a student comes last."""
    training, others = config.training, range(config.ensemble.members)
    own: dict[str, Any] = {"seed": training.seed + number}
    if training.budget:
        own["budget"] = training.budget * config.ensemble.share(number)
    if number not in others:
        folders = [str(_member(run, other).folder.resolve()) for other in others]
        own["teachers"] = (*training.teachers, *folders)
    return config.model_copy(
        update={"training": training.model_copy(update=own), "ensemble": EnsembleConfig()}
    )


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
