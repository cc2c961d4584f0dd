"""Check that no run has trained for longer than its new limits allow."""

from collections.abc import Iterator
from dataclasses import replace

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

_SERIES = "a series trains no run beyond its limits; raise the limit, or choose another --name"


def check_limits(
    folder: RunFolder, checkpoint: Checkpoint | None, config: Config, remedy: str = _SERIES
) -> None:
    """Raise `RunError` if a run, or a member of it, has trained for longer than `config` allows.

    Otherwise its score would be compared with those of shorter runs.
    """
    for network, its_config in _networks(folder, checkpoint, config):
        try:
            reason = _why_too_long(network, its_config, config.training.budget)
        except InvalidDataError:  # resuming it raises the error, with the checkpoint
            continue
        if reason:
            raise RunError(f"{folder.path}: has trained for {reason}: {remedy}")


def check_lowered_limits(
    folder: RunFolder, checkpoint: Checkpoint | None, written: Config, config: Config
) -> None:
    """Raise `RunError` if a limit is lower than that written in a run, and than what is trained.

    Otherwise the config of the run would say that it was trained for less.
    """
    if _is_lowered(written.training, config.training):
        precision = checkpoint.compute.precision if checkpoint is not None else None
        check_resumable(folder.path, written, config, precision)
        remedy = "a run is resumed with at least the limit that it has reached; raise the limit"
        check_limits(folder, checkpoint, config, remedy)


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


def _why_too_long(checkpoint: Checkpoint, config: Config, budget: float | None) -> str:
    """Say how long a network has trained, and which limit is lower; "" if none is.

    `budget` is that of the run, of which a member of an ensemble has a share.
    """
    limits, counters = config.training, checkpoint.training_counters
    trained = checked(SavedCounters, item(counters, "trainer", dict))
    if limits.steps is not None and trained.step > limits.steps:
        return f"{count(trained.step, 'step')}, and training.steps is {limits.steps:,}"
    if limits.epochs is not None and any(trained.position):
        epochs, before = _epochs(checkpoint, config, Position(*trained.position))
        if before >= limits.epochs:
            plural = "" if epochs == 1 else "s"
            trained_epochs = f"{epoch_count(epochs)} epoch{plural}"
            return f"{trained_epochs}, and training.epochs is {limits.epochs:g}"
    earlier, its_budget = checkpoint.config.training.budget, limits.budget
    if budget and its_budget and (earlier is None or earlier > its_budget):
        clock = Counters.from_json(item(counters, "run", dict))
        if clock.elapsed > its_budget - clock.overhead:
            time = f"{rough_duration(clock.elapsed)} without a budget"
            if earlier:
                time = f"a budget of {option_duration(earlier * budget / its_budget)}"
            return f"{time}, and training.budget is {option_duration(budget)}"
    return ""


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
