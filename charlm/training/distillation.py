"""Knowledge distillation: a student learns from the predictions of teachers and from the text.

Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015. The text shows only
one next character at each position. Teachers trained on it assign a probability to every
character, so the student learns more from each step and memorises less.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from charlm.config.schema import TrainingConfig
from charlm.corpus.batch_iterator import Batch
from charlm.corpus.provenance import Record, inherit, merge
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import ConfigError
from charlm.kernels.loading import Precision
from charlm.models.ensemble import Ensemble
from charlm.models.language_model import LanguageModel
from charlm.models.states import AnyState
from charlm.runs.checkpoint import read_checkpoint
from charlm.runs.finding import checkpoint_to_use


class Teacher:
    """Networks that read the same batches as a student, and compute its targets.

    Each network carries its recurrent state from batch to batch, like the student. It reads a
    batch as a whole, even if the student reads it in groups of columns.
    """

    def __init__(self, networks: Sequence[LanguageModel], share: float) -> None:
        """`share` of each target is the networks' mean prediction; the rest is the text."""
        self.networks = [network.eval().requires_grad_(False) for network in networks]
        self.share = share
        self.states: list[AnyState] = [network.initial_state(1) for network in self.networks]

    @torch.no_grad()
    def targets(self, batch: Batch) -> Float[Tensor, "time batch vocabulary"]:
        """Read a batch; return the target distribution at each position."""
        first = self.networks[0]
        inputs, text = batch.inputs.to(first.device), batch.targets.to(first.device)
        if not batch.continues:
            self.states = [network.initial_state(inputs.shape[1]) for network in self.networks]
        targets = (1 - self.share) * F.one_hot(text, first.vocabulary_size).float()
        for number, network in enumerate(self.networks if inputs.numel() else ()):
            logits, self.states[number] = network(inputs, self.states[number])
            targets += self.share / len(self.networks) * logits.softmax(dim=2)
        return targets


def read_teacher(
    config: TrainingConfig, vocabulary: Vocabulary, device: torch.device, precision: Precision
) -> tuple[Teacher | None, tuple[Record, ...]]:
    """Return the teacher that `training.teachers` names, and records of its training texts.

    Raises `ConfigError` for networks with a different vocabulary.
    """
    networks: list[LanguageModel] = []
    records: tuple[Record, ...] = ()
    for path in config.teachers:
        checkpoint = read_checkpoint(checkpoint_to_use(Path(path)))
        if checkpoint.vocabulary != vocabulary:
            raise ConfigError(
                f"training.teachers: {path} was trained with a different vocabulary; name runs "
                "that were trained on this text"
            )
        model = checkpoint.make_model(device)
        networks += model.members if isinstance(model, Ensemble) else [model]
        records = merge(records, inherit(checkpoint.provenance, "teacher"))
    for network in networks:
        network.precision = precision
    return Teacher(networks, config.teacher_share) if networks else None, records
