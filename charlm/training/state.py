"""The state of training in memory: it makes checkpoints, and is restored from them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
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
from charlm.training.trainer import Trainer


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
        """The last `replaceable_teachers` teachers may differ from those of a checkpoint.

        These are members of the student's ensemble, which have been trained longer since.
        """
        self.config = config
        self.compute = compute
        self.corpus = corpus
        self.processes = processes
        training = config.training
        cores = max(1, (os.cpu_count() or 1) // launched().local_size)
        self.most_threads = most_threads(min(compute.threads, cores))
        torch.set_num_threads(self.most_threads)
        device = choose_device(training.device)
        model = LanguageModel(config.model, len(corpus.vocabulary))
        train, share = corpus.splits["train"].ids, processes.share
        self._frequencies = estimate_frequencies(train, len(corpus.vocabulary))
        model.initialize(torch.Generator().manual_seed(training.seed), self._frequencies)
        self.model = model.to(device)
        self.model.precision = compute.precision
        batches = make_batches(train, config.batches, training.seed, share, corpus.hapaxes)
        self._passages = choose_passages(train, corpus.vocabulary, training.seed)
        teacher, teacher_records = read_teacher(
            training, corpus.vocabulary, device, compute.precision
        )
        self._teacher_digests = [n.digest() for n in teacher.networks] if teacher else []
        self._fixed_teachers = len(self._teacher_digests) - replaceable_teachers
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

    def restore(self, path: Path, checkpoint: Checkpoint) -> dict[str, int]:
        """Restore what a checkpoint contains; return the sizes of the logs at that time.

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

    def _restore(self, path: Path, checkpoint: Checkpoint) -> dict[str, int]:
        self.model.load_state_dict(checked_weights(self.model, checkpoint.weights))
        counters = checkpoint.training_counters
        earlier, now = item(counters, "teachers", list), self._teacher_digests
        if not all(isinstance(digest, str) for digest in earlier):
            raise InvalidDataError("teachers should be digests")
        fixed = self._fixed_teachers
        if len(earlier) != len(now) or earlier[:fixed] != now[:fixed]:
            raise RunError(
                "training.teachers: not the teachers of this run; "
                f"{self._teachers_remedy(path.parent.parent, earlier)}"
            )
        trainer_counters = item(counters, "trainer", dict)
        saved = read_state(self.trainer, checkpoint.training_tensors, trainer_counters)
        self.trainer.load_state_dict(saved)
        self.provenance = merge(self.provenance, checkpoint.provenance)
        self.counters = Counters.from_json(item(counters, "run", dict))
        sizes = item(counters, "log_sizes", dict)
        return {name: item(sizes, name, int) for name in sizes}

    def _teachers_remedy(self, run: Path, earlier: list[str]) -> str:
        """Return how to resume a run with its teachers: a student alone, or with its ensemble."""
        now, ensemble = self._teacher_digests, run.parent
        members = str(ensemble.resolve() / "member-")
        num_members = sum(path.startswith(members) for path in self.config.training.teachers)
        others = len(now) - num_members
        is_alone = self._fixed_teachers == len(now) == len(earlier)
        if is_alone and num_members and earlier[:others] == now[:others]:
            return (
                "the other members of its ensemble have been trained longer, so resume the "
                f"ensemble: `charlm train --resume {ensemble}`"
            )
        return "name the same ones, in their order"

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
        with self.all_threads():
            return Opening.of_passages(self.model, self._passages)

    def checkpoint_to_resume(self, log_sizes: dict[str, int]) -> Checkpoint:
        """Return a checkpoint with everything that resuming needs.

        Raises `DivergenceError` if a weight is not finite.
        """
        if not all(tensor.isfinite().all() for tensor in self.model.state_dict().values()):
            raise DivergenceError(f"step {self.trainer.step}: a weight is not finite")
        trainer = self.trainer.state_dict()
        counters = {
            "teachers": self._teacher_digests,
            "trainer": counters_of(trainer),
            "run": asdict(replace(self.counters, elapsed=self.clock())),
            "log_sizes": log_sizes,
        }
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

    @contextmanager
    def all_threads(self) -> Iterator[None]:
        """Use all threads within a block: in float32, sums can depend on the number of threads."""
        threads = torch.get_num_threads()
        torch.set_num_threads(self.most_threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
