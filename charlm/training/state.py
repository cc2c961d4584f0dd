"""The state of training in memory: it makes checkpoints, and is restored from them."""

import os
from dataclasses import asdict, replace
from pathlib import Path

import torch

from charlm.config.schema import Config
from charlm.corpus.batches import make_batches
from charlm.corpus.corpus import Corpus
from charlm.corpus.frequencies import estimate_frequencies
from charlm.corpus.provenance import inherit, merge, records_of
from charlm.distributed.launch import launched
from charlm.distributed.processes import Processes
from charlm.environment.forks import most_threads
from charlm.errors import CheckpointError, DivergenceError, RunError
from charlm.files.untrusted import InvalidDataError, item
from charlm.kernels.compute import Compute
from charlm.models.device import choose_device
from charlm.models.language_model import LanguageModel
from charlm.models.new_characters import load_extended
from charlm.models.openings import Opening, choose_passages
from charlm.models.weights import checked_weights
from charlm.runs.checkpoint import Checkpoint, read_checkpoint
from charlm.training.counters import Counters
from charlm.training.determinism import deterministic
from charlm.training.distillation import read_teacher
from charlm.training.divergence import LossWatch
from charlm.training.saved_trainer import counters_of, read_state, tensors_of
from charlm.training.teacher_digests import TeacherDigests
from charlm.training.trainer import Trainer

UNWRITTEN = "unwritten_logs"
"""Key of a counter in a checkpoint: the entries of the logs that could not be written."""


class TrainingState:
    """Model, trainer and counters."""

    def __init__(
        self,
        config: Config,
        compute: Compute,
        corpus: Corpus,
        processes: Processes,
        *,
        replaceable_teachers: int = 0,
    ) -> None:
        """The last `replaceable_teachers` teachers may differ from those of a checkpoint."""
        self.config = config
        self.compute = compute
        self.corpus = corpus
        self.processes = processes
        training = config.training
        cores = max(1, (os.cpu_count() or 1) // launched().local_size)
        self.most_threads = most_threads(min(compute.threads, cores))
        torch.set_num_threads(self.most_threads)
        device = choose_device(training.device)
        model = LanguageModel(config.model, len(corpus.vocabulary), corpus.boundary)
        train, share = corpus.splits["train"].ids, processes.share
        self._frequencies = estimate_frequencies(train, len(corpus.vocabulary))
        model.initialize(torch.Generator().manual_seed(training.seed), self._frequencies)
        self.model = model.to(device)
        self.model.precision = compute.precision
        batches = make_batches(
            train, config.batches, training.seed, share, corpus.hapaxes, corpus.boundary
        )
        self._passages = choose_passages(train, corpus.vocabulary, training.seed)
        teacher, teacher_records = read_teacher(
            training, corpus.vocabulary, train, corpus.boundary, device, compute.precision
        )
        self._teachers = TeacherDigests(teacher, training.teachers, replaceable_teachers)
        self.provenance = merge(records_of(corpus, config.corpus), teacher_records)
        self.trainer = Trainer(self.model, batches, training, self.clock, processes, teacher)
        self.counters = Counters(watch=LossWatch.of_vocabulary(len(corpus.vocabulary)))

    def clock(self) -> float:
        """Return the seconds that training has taken, in this process and in earlier ones."""
        return self.counters.elapsed + self.processes.clock()

    def start_from(self, checkpoint: Checkpoint) -> None:
        """Load the weights of an initial model, and add the records of its training texts."""
        with deterministic(self.config.training.deterministic):
            load_extended(
                self.model,
                checkpoint.weights,
                checkpoint.vocabulary,
                self.corpus.vocabulary,
                self._frequencies,
                self._passages,
                self.processes,
            )
        self.provenance = merge(self.provenance, inherit(checkpoint.provenance, "start"))

    def restore(self, path: Path, checkpoint: Checkpoint) -> tuple[dict[str, int], dict[str, str]]:
        """Restore what a checkpoint contains; return what `Logs.cut` needs.

        These are the sizes of the logs at that time, and the entries that could not be written.

        Raises `CheckpointError`, with the `path`, for a state that this training cannot have.
        """
        try:
            return self._restore(path, checkpoint)
        except InvalidDataError as reason:
            raise CheckpointError(
                f"{path}: its training state does not match its config ({reason!s:.100}); replace "
                "it with a copy or another checkpoint of the run, or start a new run from its "
                f"weights: --set training.start_from={path}"
            ) from None

    def _restore(self, path: Path, checkpoint: Checkpoint) -> tuple[dict[str, int], dict[str, str]]:
        self.model.load_state_dict(checked_weights(self.model, checkpoint.weights))
        counters = checkpoint.training_counters
        self._teachers.check(item(counters, "teachers", list), path.parent.parent)
        trainer_counters = item(counters, "trainer", dict)
        saved = read_state(self.trainer, checkpoint.training_tensors, trainer_counters)
        self.trainer.load_state_dict(saved)
        run = Counters.from_json(item(counters, "run", dict))
        self._check_validated_alike(checkpoint.config, run)
        self.provenance = merge(self.provenance, checkpoint.provenance)
        self.counters = run
        sizes = item(counters, "log_sizes", dict)
        unwritten = item(counters, UNWRITTEN, dict) if UNWRITTEN in counters else {}
        return (
            {name: item(sizes, name, int) for name in sizes},
            {name: item(unwritten, name, str) for name in unwritten},
        )

    def _check_validated_alike(self, earlier: Config, counters: Counters) -> None:
        """Raise `RunError` if the best loss so far and later ones are of different characters.

        A part of the validation split is read in streams, whose number decides which part.
        """
        rows, now = earlier.training.validation_rows, self.config.training.validation_rows
        limit = counters.validation_characters or self.config.training.validation_characters
        is_part = limit is not None and limit < len(self.corpus.splits["validation"]) - 1
        if is_part and rows != now and counters.best_loss is not None:
            raise RunError(
                f"training.validation_rows was {rows} and is {now}: each validation scores "
                f"{limit:,} characters of a longer split, and would score others; restore it"
            )

    def checkpoint(self) -> Checkpoint:
        """Return a checkpoint to predict with."""
        weights = self.trainer.weights()
        with self.model.temporary_weights(weights):
            opening = self.opening()
        return Checkpoint(
            self.config,
            self.corpus.vocabulary,
            self.corpus.fingerprint,
            weights,
            compute=self.compute,
            provenance=self.provenance,
            opening_tensors=opening.tensors() if opening else {},
        )

    def opening(self) -> Opening | None:
        """Return the opening for text without a prefix, with the current weights."""
        return Opening.of_passages(self.model, self._passages)

    def checkpoint_to_resume(
        self, log_sizes: dict[str, int], unwritten: dict[str, str]
    ) -> Checkpoint:
        """Return a checkpoint with everything that resuming needs.

        Raises `DivergenceError` if a weight is not finite.
        """
        if not all(tensor.isfinite().all() for tensor in self.model.state_dict().values()):
            raise DivergenceError(f"step {self.trainer.step}: a weight is not finite")
        trainer = self.trainer.state_dict()
        counters = {
            "teachers": self._teachers.digests,
            "trainer": counters_of(trainer),
            "run": asdict(replace(self.counters, elapsed=self.clock())),
            "log_sizes": log_sizes,
        }
        if unwritten:
            counters[UNWRITTEN] = dict(unwritten)
        return replace(
            self.checkpoint(), training_tensors=tensors_of(trainer), training_counters=counters
        )

    def read_matching(self, path: Path) -> Checkpoint:
        """Read a checkpoint; raises `CheckpointError` if it does not match this model."""
        checkpoint = read_checkpoint(path)
        try:
            checked_weights(self.model, checkpoint.weights)
        except InvalidDataError as reason:
            raise CheckpointError(
                f"{path}: the checkpoint is from another model ({reason!s:.100}); replace it with "
                "a copy of the run's checkpoint"
            ) from None
        return checkpoint
