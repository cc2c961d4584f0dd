"""Where the parts meet: start a run, go on with one, and what happens between its steps."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from charlm.batches import make_batches
from charlm.checkpoint import Checkpoint, read_checkpoint
from charlm.config import Config
from charlm.config_file import load_config, override, with_text
from charlm.corpus import Corpus, build_corpus
from charlm.counters import Counters, Mean
from charlm.errors import ConfigError, DivergenceError, RunError
from charlm.evaluator import evaluate_part
from charlm.interrupt import stop_on_interrupt
from charlm.model import LanguageModel, choose_device
from charlm.predictor import Predictor, generate, held_out_part, training_corpus
from charlm.reports import Finished, Report, Sampled, Started, Stepped, Stopping, Validated
from charlm.run import Run, checkpoint_to_use
from charlm.trainer import StepReport, Trainer

_EXACT_LIMIT = 1_000_000
"""A longer held-out part is scored at the end in several rows, as validation is."""


def train(
    config: str | Path | Config = "quickstart",
    *,
    text: str | Path | Iterable[str | Path] = (),
    settings: Iterable[str] = (),
    name: str | None = None,
    runs: str | Path = "runs",
    on_report: Callable[[Report], None] = lambda report: None,
) -> Finished:
    """Train a model: a config by name or file, `section.key=value` settings on top.

    `text` (files, folders, globs) takes the place of the config's text. Everything is written
    below `runs/name`; `on_report` sees each report as it comes. Raises `CharlmError`; on Ctrl-C
    the run is saved first and `KeyboardInterrupt` raised then.
    """
    stem = "run" if isinstance(config, Config) else Path(config).stem
    if isinstance(config, Config):
        resolved = override(config, settings)
    else:
        resolved = load_config(config, settings)
    resolved = with_text(resolved, text)
    begin_with = None
    if resolved.training.start_from is not None:
        begin_with = read_checkpoint(checkpoint_to_use(Path(resolved.training.start_from)))
        resolved = _shaped_like(begin_with.config, resolved)
    corpus = build_corpus(resolved.corpus, begin_with.vocabulary if begin_with else None)
    experiment = Experiment(resolved, corpus, on_report)
    if begin_with is not None:
        experiment.model.load_state_dict(begin_with.weights)
    return experiment.run_in(Run.create(Path(runs), name, stem, resolved))


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
    folder = Run(Path(run))
    if not folder.last.exists():
        raise RunError(f"{run}: no checkpoint to resume here; give the folder of a run")
    checkpoint = read_checkpoint(folder.last)
    config = with_text(override(load_config(folder.config_file), settings), text)
    _check_resumable(run, checkpoint.config, config)
    corpus = training_corpus(replace(checkpoint, config=config))
    experiment = Experiment(config, corpus, on_report)
    experiment.restore(checkpoint)
    folder.write_config(config)
    folder.cut_logs(checkpoint.training_counters["log_sizes"])
    return experiment.run_in(folder)


class Experiment:
    """A run in memory: the trainer, and what happens between its steps."""

    def __init__(self, config: Config, corpus: Corpus, on_report: Callable[[Report], None]) -> None:
        self.config = config
        self.corpus = corpus
        self.on_report = on_report
        training = config.training
        model = LanguageModel(config.model, len(corpus.vocabulary))
        model.initialize(torch.Generator().manual_seed(training.seed))
        self.model = model.to(choose_device(training.device))
        batches = make_batches(corpus.parts["train"].ids, config.batches, training.seed)
        self.trainer = Trainer(self.model, batches, training, self._clock)
        self.counters = Counters()
        self._began = perf_counter()

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to where a checkpoint was written."""
        self.model.load_state_dict(checkpoint.weights)
        counters = checkpoint.training_counters
        self.trainer.restore(checkpoint.training_tensors, counters["trainer"])
        self.counters = Counters.from_json(counters["run"])

    def run_in(self, run: Run) -> Finished:
        """Train to the end, keeping everything in the run's folder."""
        self.on_report(Started(run, self.config, self.corpus, self.model, self.trainer.step))
        training = self.config.training
        self._began = perf_counter()
        with stop_on_interrupt() as stop:
            for step in () if self._out_of_patience() else self._steps(run):
                self._log(run, step)
                if _is_due(step.step, training.validate_every):
                    self._validate(run)
                if _is_due(step.step, training.save_every) or stop.requested:
                    self._save(run)
                if stop.requested:
                    self.on_report(Stopping(run))
                    raise KeyboardInterrupt
                if self._out_of_patience():
                    break
            if self.counters.validated_step < self.trainer.step:
                self._validate(run)
            self._save(run)
        return self._finish(run)

    def _clock(self) -> float:
        return self.counters.elapsed + perf_counter() - self._began

    def _steps(self, run: Run) -> Iterator[StepReport]:
        try:
            yield from self.trainer
        except DivergenceError as reason:
            kept = (
                f"the last good checkpoint is {run.last}" if run.last.exists() else "none was saved"
            )
            raise DivergenceError(f"{reason}; {kept}") from None

    def _log(self, run: Run, step: StepReport) -> None:
        self.on_report(Stepped(step, self.trainer.progress()))
        counters = self.counters
        counters.line.add(step)
        counters.epoch.add(step)
        epoch_ended = step.epoch.is_integer()
        if not (epoch_ended or _is_due(step.step, self.config.training.log_every)):
            return
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
            score = evaluate_part(self.model, part, self.config.training.validation_rows)
            run.log_metrics(
                self._line()
                | {
                    "validation_loss": score.nats_per_character,
                    "validation_perplexity": score.perplexity,
                    "validation_bits_per_character": score.bits_per_character,
                }
            )
            is_best = counters.note_validation(score.nats_per_character, step)
            if is_best:
                run.save_best(self._checkpoint())
            self.on_report(Validated(step, score, is_best))
        text = self._sample()
        run.log_sample(step, text)
        self.on_report(Sampled(step, text))

    def _sample(self) -> str:
        """Draw a text; the seed and the step alone decide which, and no training step feels it."""
        config = self.config
        predictor = Predictor(self.model, self.corpus.vocabulary, config)
        seed = config.training.seed * 1_000_003 + self.trainer.step
        return predictor.prefix + "".join(generate(predictor, seed=seed))

    def _out_of_patience(self) -> bool:
        patience = self.config.training.patience
        return patience is not None and self.counters.validations_since_best >= patience

    def _save(self, run: Run) -> None:
        counters = {
            "trainer": self.trainer.counters(),
            "run": asdict(replace(self.counters, elapsed=self._clock())),
            "log_sizes": run.log_sizes(),
        }
        checkpoint = replace(
            self._checkpoint(),
            training_tensors=self.trainer.tensors(),
            training_counters=counters,
        )
        run.save_last(checkpoint, self.trainer.step, self.config.training.keep_checkpoints)

    def _checkpoint(self) -> Checkpoint:
        weights = self.model.state_dict()
        return Checkpoint(self.config, self.corpus.vocabulary, self.corpus.fingerprint, weights)

    def _finish(self, run: Run) -> Finished:
        """Score what was kept apart with the best weights."""
        counters = self.counters
        if counters.best_loss is not None:
            self.model.load_state_dict(read_checkpoint(run.best).weights)
        name = held_out_part(self.corpus)
        held_out = None
        rows = 1
        if name is not None:
            part = self.corpus.parts[name]
            rows = 1 if len(part) <= _EXACT_LIMIT else self.config.training.validation_rows
            held_out = (name, evaluate_part(self.model, part, rows))
        finished = Finished(
            run,
            step=self.trainer.step,
            epochs=self.trainer.batches.epochs,
            characters=self.trainer.characters,
            seconds=self.trainer.seconds,
            num_parameters=self.model.num_parameters,
            training_loss=counters.training_loss(self.trainer.batches.epochs),
            best_step=counters.best_step,
            held_out=held_out,
            held_out_rows=rows,
            sample=self._sample(),
        )
        self.on_report(finished)
        return finished


def _is_due(step: int, every: int | None) -> bool:
    return every is not None and step % every == 0


def _shaped_like(source: Config, config: Config) -> Config:
    """Take over the network's shape from the checkpoint that training starts from."""
    if source.corpus.unit != config.corpus.unit:
        raise ConfigError(
            f"training.start_from: that model has corpus.unit {source.corpus.unit}, this config "
            f"{config.corpus.unit}; set them alike"
        )
    ours = {"dropout": config.model.dropout, "implementation": config.model.implementation}
    return config.model_copy(update={"model": source.model.model_copy(update=ours)})


_MAY_CHANGE = {
    # Where the text lies: its fingerprint says whether it is the same.
    "corpus": {"paths", "builtin", "validation_paths", "test_paths"},
    "training": {
        *("epochs", "steps", "budget", "patience", "device"),
        *("validate_every", "validation_rows", "save_every", "log_every", "keep_checkpoints"),
    },
}
"""Keys that the steps already taken do not depend on."""


def _check_resumable(run: str | Path, before: Config, now: Config) -> None:
    changed = []
    for section in ("corpus", "batches", "model", "training"):
        old, new = getattr(before, section).model_dump(), getattr(now, section).model_dump()
        changed += [
            f"{section}.{key} was {old[key]} and is {new[key]}"
            for key in old
            if old[key] != new[key] and key not in _MAY_CHANGE.get(section, ())
        ]
    if changed:
        raise RunError(
            f"{run}: cannot go on with a changed config: {'; '.join(changed)}; set it back"
        )
