"""The training loop: take steps, check the loss, log, validate, save, stop."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace

from charlm.corpus.overlaps import warnings_of
from charlm.environment.clock import detect_pauses, take_pause
from charlm.errors import DivergenceError
from charlm.runs.folder import RunFolder
from charlm.signals import stop_on_interrupt
from charlm.training.command_clock import CommandClock
from charlm.training.counters import is_due
from charlm.training.determinism import deterministic, environment
from charlm.training.event_files import event_files
from charlm.training.events import (
    Advised,
    Event,
    Finished,
    Paused,
    Sampled,
    Started,
    Stepped,
    Stopping,
    StopRequested,
    Validated,
)
from charlm.training.final_result import final_result
from charlm.training.metrics import MetricsLog
from charlm.training.results import result_of
from charlm.training.rollback import Rollback
from charlm.training.state import TrainingState
from charlm.training.step_result import StepResult
from charlm.training.thread_trials import steps_with_best_threads
from charlm.training.time_budget import KeptTime, TimeBudget
from charlm.training.validation import draw_sample, validation_score


class TrainingLoop:
    """Trains to the end, and saves everything in the run folder."""

    def __init__(
        self,
        state: TrainingState,
        folder: RunFolder,
        emit: Callable[[Event], None],
        clock: CommandClock,
        kept: KeptTime,
        *,
        scores_at_end: bool = True,
    ) -> None:
        """`scores_at_end`: whether the best weights are scored on the held-out split at the end."""
        self.state = state
        self.folder = folder
        self.event_files = event_files(state.config, folder.path) if folder.is_writer else None
        self.emit = self.event_files.before(emit) if self.event_files else emit
        self.clock = clock
        self.time_budget = TimeBudget(state, clock, kept, scores_at_end=scores_at_end)
        self.scores_at_end = scores_at_end
        self.config = state.config
        self.processes = state.processes
        self.trainer = state.trainer
        self._failure: BaseException | None = None
        """Exception that `emit` raised during training."""
        self.rollback = Rollback(state, folder, self._emit)
        self.metrics = MetricsLog(state, folder)

    def run(self) -> Finished:
        """Train to the end; raises `KeyboardInterrupt`, with everything saved, on a stop."""
        training, state = self.config.training, self.state
        entry = environment(training, state.model, state.corpus.fingerprint)
        self.folder.note_environment(entry | {"resumed_at": self.trainer.step})
        with deterministic(training.deterministic), self.event_files or nullcontext():
            division = self.time_budget.begin()
            self.emit(self._started())
            if division:
                self.emit(Advised((division,)))
            self._train()
            finished = final_result(state, self.folder, self.time_budget)
            self.emit(finished)
            self.folder.note_result(result_of(finished))
            return finished

    def _started(self) -> Started:
        state = self.state
        return Started(
            self.folder,
            self.config,
            state.corpus,
            state.compute,
            state.model,
            resumed_at=self.trainer.step,
            progress=self.trainer.progress(),
            elapsed=state.clock(),
            best_loss=state.counters.best_loss,
            epochs=self.trainer.epochs,
            seconds_left=self.time_budget.seconds_left,
            is_member=not self.scores_at_end,
            warnings=warnings_of(state.provenance, state.corpus),
        )

    def _train(self) -> None:
        """Train until a limit or a stop; the clock of a time budget runs meanwhile."""
        start = self.clock.seconds()
        with (
            detect_pauses(),
            stop_on_interrupt(lambda: self._emit(StopRequested())) as stop,
            self.processes.watching(
                lambda: self.clock.seconds() - start,
                lambda: stop.requested or self._reason_to_stop() is not None,
            ),
        ):
            if self.trainer.step == 0:
                self.rollback.save(is_regular=True)  # so that even a crash in step 1 can be resumed
                if self._failure is not None:
                    raise self._failure
            self._take_steps_and_roll_back()
            if self.processes.should_stop():
                self.processes.wait_for_all()  # the first one has written everything
                if (reason := self._reason_to_stop()) is not None:
                    raise reason
                self.emit(Stopping(self.folder))
                raise KeyboardInterrupt

    def _reason_to_stop(self) -> BaseException | None:
        """Return an error of the receiver or of the logs, before which all steps must be saved."""
        return self._failure or self.folder.logs.failure

    def _emit(self, event: Event) -> None:
        """Emit an event; if that fails, stop after this step and save, as if asked to stop.

        The receiver is the user's. An error in it must not lose the steps since the last save.
        """
        if self._failure is None:
            try:
                self.emit(event)
            except (Exception, SystemExit) as error:
                self._failure = error

    def _take_steps_and_roll_back(self) -> None:
        """Take steps; after a divergence roll back, as often as the config allows."""
        while True:
            try:
                return self._take_steps()
            except DivergenceError as reason:
                self._emit(self.rollback.roll_back(str(reason)))

    def _take_steps(self) -> None:
        """Take steps until training is complete or somebody asks to stop, and save."""
        for step in self._steps():
            self.rollback.check_loss(step.loss)
            logged = self.metrics.add_step(step)
            self._emit(Stepped(step, self.trainer.progress(), self.state.clock()))
            if logged is not None:
                self._emit(logged)
            self._log_pause()
            if is_due(step.step, self.config.training.validate_every):
                self._validate()
            stops = self.processes.should_stop()
            self.rollback.save_if_due(stops=stops)
            if stops:
                return
        self.time_budget.end()
        if self.state.counters.validated_step < self.trainer.step:
            self._validate()
        self.rollback.save_at_end()

    def _steps(self) -> Iterator[StepResult]:
        """Yield the steps until a limit is reached or patience is exhausted."""
        if self._is_out_of_patience():
            return
        for step in steps_with_best_threads(self.state):
            yield step
            if self._is_out_of_patience():
                return

    def _is_out_of_patience(self) -> bool:
        patience = self.config.training.patience
        return patience is not None and self.state.counters.validations_since_best >= patience

    def _log_pause(self) -> None:
        """Log that the process was stopped or the machine slept; this time does not count."""
        if (seconds := take_pause()) >= 1:
            self.metrics.log_pause(seconds)
            self._emit(Paused(seconds))

    def _validate(self) -> None:
        """Score the validation split, keep the best checkpoint, and draw a sample."""
        state, step = self.state, self.trainer.step
        state.counters.validated_step = step
        with state.model.temporary_weights(self.trainer.weights()):
            score = validation_score(state)
            sample = draw_sample(state)
        if score is not None:
            self.metrics.log_validation(score)
            is_best = state.counters.note_validation(score.nats_per_character)
            if is_best:
                best = replace(state.checkpoint(), training_counters={"step": step})
                self.folder.save_best(best)
            self._emit(Validated(step, score, is_best))
        self.folder.logs.add_sample(step, sample)
        epochs = self.trainer.epochs
        self._emit(Sampled(step, epochs, state.counters.training_loss(epochs), sample))
