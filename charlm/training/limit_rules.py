"""Check that no run has trained for longer than its new limits allow."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from charlm.config.schema import Config, TrainingConfig
from charlm.corpus.batch_iterator import BatchIterator, Position
from charlm.corpus.batches import make_batches
from charlm.errors import RunError
from charlm.files.untrusted import InvalidDataError, checked, item
from charlm.formatting import count, epoch_count, option_duration, rough_duration
from charlm.runs.checkpoint import Checkpoint
from charlm.runs.folder import RunFolder
from charlm.runs.training_text import training_corpus
from charlm.training import ensemble_run, network_run
from charlm.training.counters import Counters
from charlm.training.resume_rules import check_resumable
from charlm.training.saved_trainer import SavedCounters

_IN_A_SERIES = (
    "a series trains no run beyond its limits; raise the limit ({longer}), or choose another --name"
)


def check_limits(
    folder: RunFolder, checkpoint: Checkpoint | None, config: Config, remedy: str = _IN_A_SERIES
) -> None:
    """Raise `RunError` if a run, or a member of it, has trained for longer than `config` allows.

    Otherwise its score would be compared with those of shorter runs. `remedy` has the place
    `{longer}` for an option that continues the run.
    """
    for network, its_config in _networks(folder, checkpoint, config):
        try:
            excess = _excess(network, its_config, config.training.budget)
        except InvalidDataError:  # resuming it raises the error, with the checkpoint
            continue
        if excess is not None:
            why = remedy.format(longer=excess.longer)
            raise RunError(f"{folder.path}: has already trained {excess.reason}; {why}")


def check_lowered_limits(
    folder: RunFolder, checkpoint: Checkpoint | None, written: Config, config: Config
) -> None:
    """Raise `RunError` if a limit is lower than that written in a run, and than what is trained.

    Otherwise the config of the run would say that it was trained for less.
    """
    if _is_lowered(written.training, config.training):
        precision = checkpoint.compute.precision if checkpoint is not None else None
        check_resumable(folder.path, written, config, precision)
        check_limits(folder, checkpoint, config, "to continue it, raise the limit: {longer}")


def _is_lowered(written: TrainingConfig, training: TrainingConfig) -> bool:
    pairs = (
        (written.epochs, training.epochs),
        (written.steps, training.steps),
        (written.budget, training.budget),
    )
    return any(new is not None and (old is None or new < old) for old, new in pairs)


def _networks(
    folder: RunFolder, checkpoint: Checkpoint | None, config: Config
) -> Iterator[tuple[Checkpoint, Config]]:
    """Yield the last checkpoint of each network that has one, and the config that it would get."""
    if not config.ensemble.is_wanted:
        if checkpoint is not None:
            yield checkpoint, config
        return
    for member, its_config in ensemble_run.planned_members(folder, config):
        if (last := network_run.checkpoint_to_resume(member)) is not None:
            yield last, its_config


class _Excess(NamedTuple):
    """How much longer a network has trained than a limit allows."""

    reason: str
    longer: str
    """An option with twice the limit that is reached."""


def _excess(checkpoint: Checkpoint, config: Config, budget: float | None) -> _Excess | None:
    """Say how long a network has trained, and which limit is lower; None if none is.

    `budget` is that of the run, of which a member of an ensemble has a share.
    """
    limits, counters = config.training, checkpoint.training_counters
    trained = checked(SavedCounters, item(counters, "trainer", dict))
    if limits.steps is not None and trained.step > limits.steps:
        reason = f"for {count(trained.step, 'step')}, but training.steps is {limits.steps:,}"
        return _Excess(reason, f"--set training.steps={2 * trained.step}")
    if limits.epochs is not None and any(trained.position):
        epochs, before = _epochs(checkpoint, config, Position(*trained.position))
        if before >= limits.epochs:
            plural = "" if epochs == 1 else "s"
            done = f"for {epoch_count(epochs)} epoch{plural}"
            longer = epoch_count(2 * epochs).replace(",", "")
            reason = f"{done}, but training.epochs is {limits.epochs:g}"
            return _Excess(reason, f"--set training.epochs={longer}")
    earlier, its_budget = checkpoint.config.training.budget, limits.budget
    if budget and its_budget and (earlier is None or earlier > its_budget):
        clock = Counters.from_json(item(counters, "run", dict))
        if clock.elapsed > its_budget - clock.overhead:
            whole = (earlier or clock.elapsed + clock.overhead) * budget / its_budget
            done = f"with a budget of {option_duration(whole)}, for"
            if not earlier:
                done = f"for {rough_duration(clock.elapsed)} without a budget,"
            reason = f"{done} longer than is asked: training.budget is {option_duration(budget)}"
            return _Excess(reason, f"--budget {option_duration(2 * whole)}")
    return None


def _epochs(checkpoint: Checkpoint, config: Config, position: Position) -> tuple[float, float]:
    """Return the epochs that a network has trained, and those before its last step.

    The last step may go beyond a limit, so only the epochs before it tell whether it was allowed.
    """
    corpus = training_corpus(replace(checkpoint, config=config))
    batches = make_batches(corpus.splits["train"].ids, config.batches, config.training.seed)
    batches.restore(_previous(batches, position))
    before = batches.epochs
    batches.restore(position)
    return batches.epochs, before


def _previous(batches: BatchIterator, position: Position) -> Position:
    """Return the position of the batch before this one, perhaps in the epoch before."""
    epoch, batch = position
    if batch:
        return Position(epoch, batch - 1)
    batches.restore(Position(epoch - 1, 1))
    size = round(1 / (batches.epochs - (epoch - 1)))
    return Position(epoch - 1, size - 1)
