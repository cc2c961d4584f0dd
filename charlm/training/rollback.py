"""When checkpoints are saved, and which one training rolls back to when it diverges."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from charlm.errors import DivergenceError
from charlm.runs.checkpoint import Checkpoint
from charlm.runs.folder import RunFolder
from charlm.training.counters import is_due
from charlm.training.divergence import advice, is_divergence
from charlm.training.events import Event, RolledBack, Saved
from charlm.training.state import TrainingState


class Rollback:
    """A state machine of the checkpoints `last` and `rollback` in a run folder.

    A save is due before the first step, every `save_every` steps and at the end. A *regular* save
    was due while the loss was normal. Training rolls back only to regular saves: a stop between two
    of them must not change where it rolls back to, so that resumed training equals uninterrupted
    training. The other saves are because of a stop, or of the end while the loss is high, which
    counts as a stop here.

        state     `last` is               `rollback` is            training rolls back to
        --------  ----------------------  -----------------------  ----------------------
        REGULAR   the last regular save   absent                   `last`
        STOPPED   saved because of a stop the last regular save    `rollback`

        state     event                   actions, in this order                     next state
        --------  ----------------------  -----------------------------------------  ----------
        any       a save is due, the      write `last`; delete `rollback`            REGULAR
                  loss is normal
        any       a save is due, the      remember it in the counter `save_is_due`   the same
                  loss is high
        REGULAR   stop                    copy `last` to `rollback`; write `last`    STOPPED
        STOPPED   stop                    write `last`                               STOPPED
        any       divergence              load the checkpoint to roll back to;       REGULAR
                                          rename `rollback`, if present, to `last`;
                                          discard later logs and checkpoints;
                                          log the event; write `last`, with a lower
                                          learning rate
        any       divergence, but no      raise `DivergenceError`                    the same
                  rollbacks are left
        any       resumption              load `last`; discard later logs and        that of
                                          checkpoints; delete `rollback` if `last`   `last`
                                          is a regular save

    A crash is followed by a resumption. No crash between two actions loses or repeats anything:

        after the action                  resumption finds
        --------------------------------  ----------------------------------------------------
        write `last`, of a regular save   a regular `last`, and deletes the old `rollback`
        copy `last` to `rollback`         the same: `last` still is the regular save
        load, at a divergence             the old `last`; training diverges at the same step
        rename `rollback` to `last`,      the regular save; training repeats the steps from it,
        discard, log                      diverges at the same step and rolls back
    """

    def __init__(
        self,
        state: TrainingState,
        folder: RunFolder,
        emit: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self.state = state
        self.folder = folder
        self.emit = emit

    @property
    def target(self) -> Path:
        """The checkpoint to roll back to."""
        return self.folder.rollback if self.folder.rollback.exists() else self.folder.last

    def resume(self, checkpoint: Checkpoint) -> None:
        """Load the last checkpoint, after a stop or a crash."""
        logs = self.state.restore(self.folder.last, checkpoint)
        self.folder.discard_after(self.state.trainer.step, *logs)
        if self.state.counters.is_regular:
            self.folder.delete_rollback()

    def save_if_due(self, *, stops: bool) -> None:
        """Save after a step if a regular save is due, or if training stops here."""
        counters, every = self.state.counters, self.state.config.training.save_every
        counters.save_is_due = is_due(self.state.trainer.step, every) or counters.save_is_due
        is_regular = counters.save_is_due and not counters.watch.is_high
        if is_regular or stops:
            self.save(is_regular=is_regular)

    def save_at_end(self) -> None:
        """Save when training is complete."""
        self.save(is_regular=not self.state.counters.watch.is_high)

    def save(self, *, is_regular: bool) -> None:
        """Save everything; raises `DivergenceError` instead if a weight is not finite."""
        state, folder = self.state, self.folder
        state.processes.agree()  # on the elapsed time
        state.counters.is_regular = is_regular
        if is_regular:
            state.counters.save_is_due = False
        checkpoint = state.checkpoint_to_resume(folder.logs.sizes(), folder.logs.unwritten)
        if not is_regular and not folder.rollback.exists():
            folder.copy_last_to_rollback()
        folder.save_last(checkpoint, state.trainer.step, state.config.training.keep_checkpoints)
        if is_regular:
            folder.delete_rollback()
        self.emit(Saved(state.trainer.step, folder.last))

    def check_loss(self, loss: float) -> None:
        """Raise `DivergenceError` if the loss has leapt up because the weights are bad.

        The text may have become harder instead: then the weights to roll back to are no better on
        it. With teachers, `loss` is still the loss on the text: a uniform guess bounds it, and it
        compares weights independently of the teachers.
        """
        state, trainer, watch = self.state, self.state.trainer, self.state.counters.watch
        watch.observe(loss)
        if not watch.has_leapt:
            return
        loss = trainer.loss_again()
        with state.model.temporary_weights(state.read_matching(self.target).weights):
            earlier_loss = trainer.loss_again()
        if is_divergence(loss, earlier_loss):
            raise DivergenceError(f"step {trainer.step}: {watch.describe()}")
        state.counters.watch = watch.restarted(loss)

    def roll_back(self, reason: str) -> RolledBack:
        """Return to the last regular save with a lower learning rate.

        Raises `DivergenceError`, with the `reason` and advice, if no rollbacks are left.
        """
        state, folder, training = self.state, self.folder, self.state.config.training
        target, diverged, diverged_at = self.target, state.counters, state.trainer.step
        scale = state.trainer.learning_rate_scale * training.rollback_factor
        if diverged.rollbacks >= training.max_rollbacks:
            raise self._no_rollbacks_left(reason)
        logs = state.restore(target, state.read_matching(target))
        state.counters.keep_after_rollback(diverged)
        state.trainer.learning_rate_scale = scale
        state.processes.agree()  # all have read the checkpoint
        folder.rename_rollback_to_last()
        folder.discard_after(state.trainer.step, *logs)
        rolled_back = RolledBack(
            state.trainer.step, diverged_at, reason, scale, state.counters.rollbacks
        )
        folder.logs.add_metrics({"event": "rollback"} | asdict(rolled_back))
        self.save(is_regular=True)
        return rolled_back

    def _no_rollbacks_left(self, reason: str) -> DivergenceError:
        number = self.state.counters.rollbacks
        tried = f", after {number} rollback{'' if number == 1 else 's'}" if number else ""
        return DivergenceError(
            f"{reason}{tried}; {advice(self.state.config)}; the last checkpoint before the "
            f"divergence is {self.target}"
        )
