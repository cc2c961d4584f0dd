"""Knowledge distillation: a student learns from the predictions of teachers and from the text.

Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015. The text shows only
one next character at each position. Teachers trained on it assign a probability to every
character, so the student learns more from each step and memorises less.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float, Float16
from torch import Tensor
from torch.nn import functional as F

from charlm.config.schema import TrainingConfig
from charlm.corpus.batch_iterator import Batch
from charlm.corpus.provenance import Record, inherit, merge
from charlm.corpus.vocabulary import Ids, Vocabulary
from charlm.errors import ConfigError
from charlm.kernels.loading import Precision
from charlm.models.ensemble import Ensemble
from charlm.models.language_model import LanguageModel
from charlm.models.states import AnyState
from charlm.prediction.reading import Streams, each_piece
from charlm.runs.checkpoint import read_checkpoint
from charlm.runs.finding import checkpoint_to_use

_REMEMBERED_BYTES = 1 << 29
"""Size up to which the predictions of the whole text are kept in memory."""
_STREAMS = 64
"""Number of streams in which the teachers read the whole text."""


class Teacher:
    """Networks that read the same batches as a student, and compute its targets.

    Each network carries its recurrent state from batch to batch, like the student. It reads a
    batch as a whole, even if the student reads it in groups of columns.

    With the `text`, they read batches in the first epoch only. Then they read the text once, and
    keep what they predict, so that later steps take no longer than without teachers; a student
    that takes less than an epoch does not wait for that. They then know all that precedes a
    character, also what the batch leaves out: hidden characters, and text before a segment. The
    predictions depend on the text and the networks only, so a resumed student has the same ones.
    """

    def __init__(
        self, networks: Sequence[LanguageModel], share: float, text: Ids | None = None
    ) -> None:
        """`share` of each target is the networks' mean prediction; the rest is the text."""
        self.networks = [network.eval().requires_grad_(False) for network in networks]
        self.share = share
        self.states: list[AnyState] = [network.initial_state(1) for network in self.networks]
        self._text = text
        self._vocabulary_size, self._device = networks[0].vocabulary_size, networks[0].device

    def reads_batches(self, epoch: int) -> bool:
        """Return whether the networks read the batches of this epoch, the first of which is 0."""
        return self._text is None or epoch == 0

    @torch.no_grad()
    def targets(self, batch: Batch) -> Float[Tensor, "time batch vocabulary"]:
        """Return the target distribution at each position; batches must come in order."""
        reads = self.reads_batches(batch.epoch)
        predicted = self._read(batch) if reads else self._remembered(batch)
        text = F.one_hot(batch.targets.to(self._device), self._vocabulary_size)
        return (1 - self.share) * text + self.share * predicted

    def _read(self, batch: Batch) -> Float[Tensor, "time batch vocabulary"]:
        """Read a batch; return the mean of the networks' predictions."""
        inputs = batch.inputs.to(self._device)
        if not batch.continues:
            self.states = [network.initial_state(inputs.shape[1]) for network in self.networks]
        total = torch.zeros(*inputs.shape, self._vocabulary_size, device=self._device)
        for number, network in enumerate(self.networks if inputs.numel() else ()):
            logits, self.states[number] = network(inputs, self.states[number])
            total += logits.softmax(dim=2) / len(self.networks)
        return total

    def _remembered(self, batch: Batch) -> Float[Tensor, "time batch vocabulary"]:
        """Return the mean predictions of a batch's characters, from when the text was read."""
        assert batch.starts is not None, "the batch is from the text"
        steps = torch.arange(1, len(batch.targets) + 1).unsqueeze(1)
        places = torch.from_numpy(batch.starts) + steps
        return self._predicted[places.to(self._device)].float()

    @cached_property
    def _predicted(self) -> Float16[Tensor, "text vocabulary"]:
        """The mean prediction of each character of the text."""
        text = self._text
        assert text is not None, "the teachers were given the text"
        shape = (len(text), self._vocabulary_size)
        predicted = torch.zeros(shape, dtype=torch.float16, device=self._device)
        for network in self.networks:
            for piece in each_piece(network, text, Streams.of(len(text), _STREAMS)):
                places = torch.from_numpy(piece.places).to(self._device)
                predicted[places] += (piece.logits.softmax(dim=1) / len(self.networks)).half()
        return predicted


def may_remember(vocabulary_size: int, text: Ids, boundary: int | None) -> bool:
    """Return whether the predictions fit in `_REMEMBERED_BYTES`, and the text is not of records.

    Records have a `boundary` and a new order in each epoch: each has other characters before it.
    """
    size = len(text) * vocabulary_size * torch.float16.itemsize
    return size <= _REMEMBERED_BYTES and boundary is None


def read_teacher(
    config: TrainingConfig,
    vocabulary: Vocabulary,
    ids: Ids,
    boundary: int | None,
    device: torch.device,
    precision: Precision,
) -> tuple[Teacher | None, tuple[Record, ...]]:
    """Return the teacher that `training.teachers` names, and records of its training texts.

    `ids` are the text that the student reads, with a `boundary` if it has records. Raises
    `ConfigError` for networks with a different vocabulary.
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
    if not networks:
        return None, records
    text = ids if may_remember(len(vocabulary), ids, boundary) else None
    return Teacher(networks, config.teacher_share, text), records
