"""The training loop: take steps, check the loss, log, validate, save, stop."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from charlm.corpus.overlaps import warnings_of
from charlm.environment.clock import detect_pauses, take_pause
from charlm.errors import DivergenceError
from charlm.prediction.evaluation import final_score
from charlm.runs.folder import RunFolder
from charlm.signals import stop_on_interrupt
from charlm.training.calibration import may_vary_threads, watch_threads
from charlm.training.command_clock import CommandClock
from charlm.training.counters import is_due
from charlm.training.determinism import deterministic, environment
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
from charlm.training.metrics import MetricsLog
from charlm.training.results import result_of
from charlm.training.rollback import Rollback
from charlm.training.state import TrainingState
from charlm.training.step_result import StepResult
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
        self.emit = emit
        self.clock = clock
        self.time_budget = TimeBudget(state, clock, kept, scores_at_end=scores_at_end)
        self.scores_at_end = scores_at_end
        self.config = state.config
        self.processes = state.processes
        self.trainer = state.trainer
        self._failure: BaseException | None = None
        """What `emit` has raised while steps were taken."""
        self.rollback = Rollback(state, folder, self._emit)
        self.metrics = MetricsLog(state, folder)

    def run(self) -> Finished:
        """Train to the end; raises `KeyboardInterrupt`, with everything saved, on a stop."""
        training, state = self.config.training, self.state
        self.folder.note_environment(environment(training, state.model, state.corpus.fingerprint))
        with deterministic(training.deterministic):
            division = self.time_budget.begin()
            self.emit(self._started())
            if division:
                self.emit(Advised((division,)))
            self._train()
            finished = self._finish()
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
            budget=self.config.training.budget if self.scores_at_end else self.trainer.budget,
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
                lambda: stop.requested or self._failure is not None,
            ),
        ):
            if self.trainer.step == 0:
                self.rollback.save(is_regular=True)  # so that even a crash in step 1 can be resumed
            self._take_steps_and_roll_back()
            if self.processes.should_stop():
                self.processes.wait_for_all()  # the first one has written everything
                if self._failure is not None:
                    raise self._failure
                self.emit(Stopping(self.folder))
                raise KeyboardInterrupt

    def _emit(self, event: Event) -> None:
        """Emit an event; if that fails, stop after this step, as on a request, and save.

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
        for step in self._steps_with_best_threads():
            yield step
            if self._is_out_of_patience():
                return

    def _steps_with_best_threads(self) -> Iterator[StepResult]:
        """Yield the steps; where it changes no bit, try which number of threads is fastest."""
        watch = watch_threads(self.state.most_threads)
        next(watch)
        model = self.state.model
        varies = may_vary_threads(model.config, model.precision)
        is_watched = varies and not self.config.training.deterministic
        try:
            for step in self.trainer:
                if is_watched:
                    watch.send(step.step_seconds / step.characters)
                yield step
        finally:
            torch.set_num_threads(self.state.most_threads)

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

    def _finish(self) -> Finished:
        """Load the best weights, or the last ones without a best; score them."""
        state, trainer = self.state, self.trainer
        best_step = self._load_best()
        sample = draw_sample(state)
        held_out, protocol = None, ""
        if self.scores_at_end:
            held_out, protocol = final_score(
                state.model,
                state.corpus,
                self.config.training,
                state.provenance,
                self.processes,
                self.time_budget.limit(self.folder.path),
            )
        return Finished(
            self.folder,
            step=trainer.step,
            epochs=trainer.epochs,
            characters=trainer.characters,
            seconds=trainer.seconds,
            num_parameters=state.model.num_parameters,
            training_loss=state.counters.training_loss(trainer.epochs),
            best_step=best_step,
            best_loss=state.counters.best_loss,
            held_out=held_out,
            protocol=protocol,
            sample=sample,
        )

    def _load_best(self) -> int:
        """Load the best weights, or the last ones without a best; return their step."""
        weights, best_step = self.trainer.weights(), self.trainer.step
        if self.state.counters.best_loss is not None:
            self.processes.wait_for_all()  # the first one has written it
            best = self.state.read_matching(self.folder.best)
            weights, best_step = best.weights, best.step or 0
        self.state.model.load_state_dict(weights)
        return best_step
