"""One run in memory: the trainer, and what happens between its steps."""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from charlm.batches import make_batches
from charlm.calibration import resolve, watch_threads
from charlm.checkpoint import Checkpoint, read_checkpoint
from charlm.config import Config
from charlm.corpus import Corpus
from charlm.counters import Counters, Mean
from charlm.divergence import LossWatch, advice, is_harm
from charlm.errors import ConfigError, DivergenceError
from charlm.evaluator import evaluate_part
from charlm.interrupt import StopRequest, stop_on_interrupt
from charlm.model import LanguageModel, choose_device
from charlm.predictor import Predictor, final_score, generate
from charlm.reports import (
    Finished,
    Report,
    RolledBack,
    Sampled,
    Started,
    Stepped,
    Stopping,
    StopRequested,
    Validated,
)
from charlm.reproducibility import deterministic, environment
from charlm.run import Run
from charlm.trainer import StepReport, Trainer


class Session:
    """A run in memory; `run_in` takes it to its end."""

    def __init__(self, config: Config, corpus: Corpus, on_report: Callable[[Report], None]) -> None:
        self.config = config = resolve(config)
        self.corpus = corpus
        self.on_report = on_report
        training = config.training
        self._most_threads = min(int(training.threads), os.cpu_count() or 1)
        torch.set_num_threads(self._most_threads)
        device = choose_device(training.device)
        with _memory_errors(config):
            model = LanguageModel(config.model, len(corpus.vocabulary))
            model.initialize(torch.Generator().manual_seed(training.seed))
            self.model = model.to(device)
        batches = make_batches(corpus.parts["train"].ids, config.batches, training.seed)
        self.model.precision = training.product_precision
        self.trainer = Trainer(self.model, batches, training, self._clock)
        self.counters = Counters(watch=LossWatch.of_vocabulary(len(corpus.vocabulary)))
        self._began = perf_counter()

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to where a checkpoint was written."""
        self.model.load_state_dict(checkpoint.weights)
        counters = checkpoint.training_counters
        self.trainer.restore(checkpoint.training_tensors, counters["trainer"])
        self.counters = Counters.from_json(counters["run"])

    def run_in(self, run: Run) -> Finished:
        """Train to the end, keeping everything in the run's folder."""
        training, device = self.config.training, self.model.device
        run.note_environment(environment(training, device, self.corpus.fingerprint))
        with deterministic(training.deterministic):
            return self._run_in(run)

    def _run_in(self, run: Run) -> Finished:
        started = Started(
            run,
            self.config,
            self.corpus,
            self.model,
            resumed_at=self.trainer.step,
            progress=self.trainer.progress(),
        )
        self.on_report(started)
        self._began = perf_counter()
        with stop_on_interrupt(lambda: self.on_report(StopRequested())) as stop:
            if self.trainer.step == 0:
                self._save(run, is_good=True)  # whatever happens, there is something to resume
            try:
                self._train(run, stop)
            except (SystemExit, BrokenPipeError):  # whoever read the reports has gone
                self._save(run, is_good=self._is_good_to_save())
                raise
            if stop.requested:
                self.on_report(Stopping(run))
                raise KeyboardInterrupt
        return self._finish(run)

    def _train(self, run: Run, stop: StopRequest) -> None:
        """Train as `_take_steps` does, rolling back as often as the config allows."""
        while True:
            try:
                return self._take_steps(run, stop)
            except DivergenceError as reason:
                self._roll_back(run, str(reason))

    def _take_steps(self, run: Run, stop: StopRequest) -> None:
        """Take steps until the run is done or somebody asks to stop; leave all of it saved."""
        for step in () if self._out_of_patience() else self._steps():
            self.counters.watch.see(step.loss)
            self._check_loss(run)
            self._log(run, step)
            if _is_due(step.step, self.config.training.validate_every):
                self._validate(run)
            is_good = self._is_good_to_save()
            if stop.requested or is_good:
                self._save(run, is_good)
            if stop.requested:
                return
            if self._out_of_patience():
                break
        if self.counters.validated_step < self.trainer.step:
            self._validate(run)
        self._save(run, is_good=not self.counters.watch.is_suspicious)

    def _is_good_to_save(self) -> bool:
        """Whether the config wants a save now; it waits while something is wrong with the loss."""
        counters = self.counters
        is_due = _is_due(self.trainer.step, self.config.training.save_every)
        counters.save_is_late = is_due or counters.save_is_late
        return counters.save_is_late and not counters.watch.is_suspicious

    def _check_loss(self, run: Run) -> None:
        """Raise `DivergenceError` if the loss has leapt up because the weights are bad.

        The text may have become harder instead: then the last good weights do no better on it.
        """
        watch, trainer = self.counters.watch, self.trainer
        if not watch.has_leapt:
            return
        with self._all_threads():
            now = trainer.loss_again()
            with self.model.having(read_checkpoint(_good(run)).weights):
                then = trainer.loss_again()
        if is_harm(now, then):
            raise DivergenceError(f"step {trainer.step}: {watch.describe()}")
        self.counters.watch = LossWatch()

    def _roll_back(self, run: Run, reason: str) -> None:
        """Go back to the last good save with a lower learning rate; or say that it is no use."""
        training, now, diverged_at = self.config.training, self.counters, self.trainer.step
        scale = self.trainer.learning_rate_scale * training.rollback_factor
        if now.rollbacks >= training.max_rollbacks:
            raise self._diverged(run, reason)
        checkpoint = read_checkpoint(_good(run))
        elapsed = self._clock()
        self.restore(checkpoint)
        self._began = perf_counter()
        self.counters.elapsed = elapsed  # time is not given back
        self.counters.best_loss = now.best_loss  # it is there
        self.counters.rollbacks = now.rollbacks + 1
        self.trainer.learning_rate_scale = scale
        run.go_back(self.trainer.step, checkpoint.training_counters["log_sizes"])
        report = RolledBack(self.trainer.step, diverged_at, reason, scale, now.rollbacks + 1)
        run.log_metrics({"event": "rollback"} | asdict(report))
        self._save(run, is_good=True)
        self.on_report(report)

    def _clock(self) -> float:
        return self.counters.elapsed + perf_counter() - self._began

    def _steps(self) -> Iterator[StepReport]:
        watch = watch_threads(self._most_threads)
        next(watch)
        training = self.config.training
        is_watched = training.precision == "bfloat16" and not training.deterministic
        try:
            with _memory_errors(self.config):
                for step in self.trainer:
                    if is_watched:
                        watch.send(step.step_seconds / step.characters)
                    yield step
        finally:
            torch.set_num_threads(self._most_threads)

    def _diverged(self, run: Run, what: str) -> DivergenceError:
        number = self.counters.rollbacks
        tried = f", after {number} roll-back{'' if number == 1 else 's'}" if number else ""
        return DivergenceError(
            f"{what}{tried}; {advice(self.config)}; the last good checkpoint is {_good(run)}"
        )

    def _log(self, run: Run, step: StepReport) -> None:
        counters = self.counters
        counters.line.add(step)
        counters.epoch.add(step)
        epoch_ended = step.epoch.is_integer()
        if epoch_ended or _is_due(step.step, self.config.training.log_every):
            self._log_line(run, step, epoch_ended)
        self.on_report(Stepped(step, self.trainer.progress()))

    def _log_line(self, run: Run, step: StepReport, epoch_ended: bool) -> None:
        counters = self.counters
        line = self._line() | {
            "loss": counters.line.loss,
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
        trainer = self.trainer
        return {
            "step": trainer.step,
            "epoch": trainer.batches.epochs,
            "characters": trainer.characters,
            "seconds": trainer.seconds,
        }

    def _validate(self, run: Run) -> None:
        counters, step = self.counters, self.trainer.step
        counters.validated_step = step
        part = self.corpus.parts["validation"]
        if len(part):
            with self._all_threads(), self.model.having(self.trainer.weights()):
                score = evaluate_part(self.model, part, self.config.training.validation_rows)
            if not math.isfinite(score.nats):
                raise DivergenceError(f"step {step}: the validation loss is {score.nats}")
            measures = score.to_json()  # where an infinite perplexity is null, as JSON wants it
            run.log_metrics(
                self._line()
                | {
                    "validation_loss": measures["nats_per_character"],
                    "validation_perplexity": measures["perplexity"],
                    "validation_bits_per_character": measures["bits_per_character"],
                }
            )
            is_best = counters.note_validation(score.nats_per_character)
            if is_best:
                run.save_best(replace(self._checkpoint(), training_counters={"step": step}))
            self.on_report(Validated(step, score, is_best))
        with self.model.having(self.trainer.weights()):
            text = self._sample()
        run.log_sample(step, text)
        self.on_report(Sampled(step, text))

    @contextmanager
    def _all_threads(self) -> Iterator[None]:
        """Compute on as many as ever: in float32 a sum may depend on the number."""
        before = torch.get_num_threads()
        torch.set_num_threads(self._most_threads)
        yield
        torch.set_num_threads(before)

    def _sample(self) -> str:
        """Draw a text; the seed and the step alone decide which, and no training step feels it."""
        config = self.config
        predictor = Predictor(self.model, self.corpus.vocabulary, config)
        seed = (config.training.seed * 1_000_003 + self.trainer.step) % 2**63
        return predictor.prefix + "".join(generate(predictor, seed=seed))

    def _out_of_patience(self) -> bool:
        patience = self.config.training.patience
        return patience is not None and self.counters.validations_since_best >= patience

    def _save(self, run: Run, is_good: bool) -> None:
        """Save all of the run; `is_good` says whether a roll-back may go to this state."""
        if is_good:
            self.counters.save_is_late = False
        counters = {
            "is_good": is_good,
            "trainer": self.trainer.counters(),
            "run": asdict(replace(self.counters, elapsed=self._clock())),
            "log_sizes": run.log_sizes(),
        }
        if not all(tensor.isfinite().all() for tensor in self.model.state_dict().values()):
            raise DivergenceError(f"step {self.trainer.step}: a weight is not finite")
        checkpoint = replace(
            self._checkpoint(),
            training_tensors=self.trainer.tensors(),
            training_counters=counters,
        )
        keep = self.config.training.keep_checkpoints
        run.save_last(checkpoint, self.trainer.step, keep, is_good)

    def _checkpoint(self) -> Checkpoint:
        weights = self.trainer.weights()
        return Checkpoint(self.config, self.corpus.vocabulary, self.corpus.fingerprint, weights)

    def _finish(self, run: Run) -> Finished:
        """Score what was kept apart with the best weights, or the last ones where none is best."""
        counters = self.counters
        weights, best_step = self.trainer.weights(), self.trainer.step
        if counters.best_loss is not None:
            best = read_checkpoint(run.best)
            weights, best_step = best.weights, best.training_counters["step"]
        self.model.load_state_dict(weights)
        held_out, rows = final_score(self.model, self.corpus, self.config.training)
        finished = Finished(
            run,
            step=self.trainer.step,
            epochs=self.trainer.batches.epochs,
            characters=self.trainer.characters,
            seconds=self.trainer.seconds,
            num_parameters=self.model.num_parameters,
            training_loss=counters.training_loss(self.trainer.batches.epochs),
            best_step=best_step,
            held_out=held_out,
            held_out_rows=rows,
            sample=self._sample(),
        )
        self.on_report(finished)
        return finished


def _good(run: Run) -> Path:
    """Return the checkpoint to roll back to."""
    return run.good if run.good.exists() else run.last


def _is_due(step: int, every: int | None) -> bool:
    return every is not None and step % every == 0


@contextmanager
def _memory_errors(config: Config) -> Iterator[None]:
    """Say in a line that a model or a batch does not fit in memory."""
    try:
        yield
    except (RuntimeError, MemoryError, OverflowError, TypeError) as reason:
        words = ("memory", "allocate", "overflow", "too large", "invalid size")
        if not isinstance(reason, MemoryError) and not any(w in str(reason).lower() for w in words):
            raise
        raise ConfigError(
            f"not enough memory ({reason!s:.80}); lower model.hidden_size (now "
            f"{config.model.hidden_size}), batches.batch_size ({config.batches.batch_size}) or "
            f"batches.sequence_length ({config.batches.sequence_length})"
        ) from None
