"""One run in memory: the trainer, and what happens between its steps."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch

from charlm.config.schema import Config
from charlm.corpus.corpus import Corpus
from charlm.corpus.overlaps import warnings_of
from charlm.distributed.processes import processes
from charlm.environment.clock import noticing_pauses, seconds_awake, take_pause
from charlm.errors import DivergenceError
from charlm.prediction.evaluation import final_score
from charlm.prediction.generation import generate
from charlm.prediction.perplexity import Score
from charlm.prediction.predictor import Predictor
from charlm.prediction.scoring import evaluate_part
from charlm.runs.folder import Run
from charlm.signals import stop_on_interrupt
from charlm.training.calibration import resolve, watch_threads
from charlm.training.counters import Mean, is_due
from charlm.training.determinism import deterministic, environment
from charlm.training.events import (
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
from charlm.training.rollback import Rollback
from charlm.training.state import TrainingState
from charlm.training.step_result import StepResult


class Session:
    """A run in memory; `run_in` takes it to its end."""

    def __init__(
        self,
        config: Config,
        corpus: Corpus,
        on_event: Callable[[Event], None],
        is_scored: bool = True,
    ) -> None:
        """`is_scored` says whether what was kept apart is scored at the end."""
        self.processes = processes()
        self.is_scored = is_scored
        self.config = config = self.processes.of_first(lambda: resolve(config))
        self.on_event = on_event if self.processes.is_first else lambda event: None
        with deterministic(config.training.deterministic):
            self.state = TrainingState(config, corpus, self.processes)

    def run_in(self, run: Run) -> Finished:
        """Train to the end, keeping everything in the run's folder."""
        self._rollback = Rollback(self.state, run)
        training, fingerprint = self.config.training, self.state.corpus.fingerprint
        run.note_environment(environment(training, self.state.model, fingerprint))
        with deterministic(training.deterministic):
            return self._run_in(run)

    def _run_in(self, run: Run) -> Finished:
        started = Started(
            run,
            self.config,
            self.state.corpus,
            self.state.model,
            resumed_at=self.state.trainer.step,
            progress=self.state.trainer.progress(),
            warnings=warnings_of(self.state.provenance, self.state.corpus),
        )
        self.on_event(started)
        self._began = seconds_awake()
        stops = stop_on_interrupt(lambda: self.on_event(StopRequested()))
        with noticing_pauses(), stops as stop:
            self.processes.watch(lambda: seconds_awake() - self._began, lambda: stop.requested)
            if self.state.trainer.step == 0:
                self._rollback.save(is_regular=True)  # from now on there is something to resume
            try:
                self._train(run)
            except (SystemExit, BrokenPipeError):  # whoever read the events has gone
                if self.processes.is_alone:  # the others know nothing of it, and saving takes all
                    self._rollback.save_if_due(stops=True)
                raise
            if self.processes.stops():
                self.processes.in_turn(lambda: None)  # the first has written all
                self.on_event(Stopping(run))
                raise KeyboardInterrupt
        return self._finish(run)

    def _train(self, run: Run) -> None:
        """Train as `_take_steps` does, rolling back as often as the config allows."""
        while True:
            try:
                return self._take_steps(run)
            except DivergenceError as reason:
                self.on_event(self._rollback.roll_back(str(reason)))

    def _take_steps(self, run: Run) -> None:
        """Take steps until the run is done or somebody asks to stop; leave all of it saved."""
        for step in () if self._out_of_patience() else self._steps():
            self._rollback.check_loss(step.loss)
            self._log(run, step)
            self._log_pause(run)
            if is_due(step.step, self.config.training.validate_every):
                self._validate(run)
            stops = self.processes.stops()
            self._rollback.save_if_due(stops=stops)
            if stops:
                return
            if self._out_of_patience():
                break
        if self.state.counters.validated_step < self.state.trainer.step:
            self._validate(run)
        self._rollback.save_at_end()

    def _steps(self) -> Iterator[StepResult]:
        watch = watch_threads(self.state.most_threads)
        next(watch)
        training = self.config.training
        # Higher layers' gates are products of PyTorch, whose sums depend on the number.
        has_gates = any(layer.has_hidden_gate for layer in self.state.model.layers[1:])
        in_bfloat16 = self.state.model.precision == "bfloat16"
        is_watched = in_bfloat16 and not (training.deterministic or has_gates)
        try:
            for step in self.state.trainer:
                if is_watched:
                    watch.send(step.step_seconds / step.characters)
                yield step
        finally:
            torch.set_num_threads(self.state.most_threads)

    def _log(self, run: Run, step: StepResult) -> None:
        counters = self.state.counters
        counters.line.add(step)
        counters.epoch.add(step)
        epoch_ended = step.epoch.is_integer()
        if epoch_ended or is_due(step.step, self.config.training.log_every):
            self._log_line(run, step, epoch_ended)
        self.on_event(Stepped(step, self.state.trainer.progress()))

    def _log_pause(self, run: Run) -> None:
        """Log that the process was stopped or the machine slept; this time does not count."""
        if (seconds := take_pause()) >= 1:
            step = self.state.trainer.step
            run.log_metrics({"event": "paused", "step": step, "seconds": seconds})
            self.on_event(Paused(seconds))

    def _log_line(self, run: Run, step: StepResult, epoch_ended: bool) -> None:
        counters = self.state.counters
        line = self._line() | {
            **counters.line.losses,
            "gradient_norm": step.gradient_norm,
            "learning_rate": step.learning_rate,
            "characters_per_second": counters.line.characters / counters.line.seconds,
        }
        counters.line = Mean()
        if epoch_ended:
            counters.last_epoch_loss = line["epoch_loss"] = counters.epoch.loss
            counters.epoch = Mean()
        run.log_metrics(line)

    def _line(self) -> dict[str, Any]:
        """Return what every line of the metrics begins with."""
        trainer = self.state.trainer
        return {
            "step": trainer.step,
            "epoch": trainer.batches.epochs,
            "characters": trainer.characters,
            "seconds": trainer.seconds,
        }

    def _validate(self, run: Run) -> None:
        counters, step = self.state.counters, self.state.trainer.step
        counters.validated_step = step
        with self.state.model.having(self.state.trainer.weights()):
            score = self._validation_score()
            if score is not None and not math.isfinite(score.nats):
                raise DivergenceError(f"step {step}: the validation loss is {score.nats}")
            text = self._sample()
        if score is not None:
            measures = score.to_json()  # where an infinite perplexity is null, as JSON wants it
            run.log_metrics(
                self._line()
                | {
                    "validation_loss": measures["nats_per_character"],
                    "validation_perplexity": measures["perplexity"],
                    "validation_bits_per_character": measures["bits_per_character"],
                    "validation_bits_per_byte": measures["bits_per_byte"],
                    "validation_unknown_characters": measures["unknown_characters"],
                }
            )
            is_best = counters.note_validation(score.nats_per_character)
            if is_best:
                run.save_best(replace(self.state.checkpoint(), training_counters={"step": step}))
            self.on_event(Validated(step, score, is_best))
        run.log_sample(step, text)
        self.on_event(Sampled(step, text))

    def _validation_score(self) -> Score | None:
        training, part = self.config.training, self.state.corpus.parts["validation"]
        if not len(part):
            return None
        rows, characters = training.validation_rows, training.validation_characters
        with self.state.all_threads():
            return evaluate_part(self.state.model, part, rows, self.processes, characters)

    def _sample(self) -> str:
        """Draw a text; the seed and the step alone decide which, and no training step feels it."""
        config = self.config
        model, vocabulary = self.state.model, self.state.corpus.vocabulary
        predictor = Predictor(model, vocabulary, config, opening=self.state.opening())
        seed = (config.training.seed * 1_000_003 + self.state.trainer.step) % 2**63
        return predictor.prefix + "".join(generate(predictor, seed=seed))

    def _out_of_patience(self) -> bool:
        patience = self.config.training.patience
        return patience is not None and self.state.counters.validations_since_best >= patience

    def _finish(self, run: Run) -> Finished:
        """Score what was kept apart with the best weights, or the last ones where none is best."""
        counters = self.state.counters
        weights, best_step = self.state.trainer.weights(), self.state.trainer.step
        if counters.best_loss is not None:
            self.processes.in_turn(lambda: None)  # it is written
            best = self.state.read_matching(run.best)
            weights, step = best.weights, best.training_counters.get("step")
            best_step = step if isinstance(step, int) else 0
        self.state.model.load_state_dict(weights)
        held_out, protocol = None, ""
        if self.is_scored:
            model, corpus, training = self.state.model, self.state.corpus, self.config.training
            held_out, protocol = final_score(
                model, corpus, training, self.state.provenance, self.processes
            )
        finished = Finished(
            run,
            step=self.state.trainer.step,
            epochs=self.state.trainer.batches.epochs,
            characters=self.state.trainer.characters,
            seconds=self.state.trainer.seconds,
            num_parameters=self.state.model.num_parameters,
            training_loss=counters.training_loss(self.state.trainer.batches.epochs),
            best_step=best_step,
            best_loss=counters.best_loss,
            held_out=held_out,
            protocol=protocol,
            sample=self._sample(),
        )
        self.on_event(finished)
        return finished
