"""Learning from what other models predict, beside from what came: knowledge distillation.

Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015. A text says of each
place which character came; models that have learnt it say how likely every character was, and so
teach more at each step, and less by heart.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from charlm.corpus.batches import Batch
from charlm.models.language_model import AnyState, LanguageModel


class Teacher:
    """Networks that read along, and the targets that they give a student.

    Each carries its own state from batch to batch, as the student does; a batch is read at once,
    also where the student reads it in groups of columns.
    """

    def __init__(self, networks: Sequence[LanguageModel], share: float) -> None:
        """`share` of each target is the networks' mean prediction, the rest what came."""
        self.networks = [network.eval().requires_grad_(False) for network in networks]
        self.share = share
        self.states: list[AnyState] = [network.initial_state(1) for network in self.networks]

    @torch.no_grad()
    def targets(self, batch: Batch) -> Float[Tensor, "time batch vocabulary"]:
        """Read a batch; return the distribution to learn at each place."""
        first = self.networks[0]
        inputs, came = batch.inputs.to(first.device), batch.targets.to(first.device)
        if not batch.continues:
            self.states = [net.initial_state(inputs.shape[1]) for net in self.networks]
        targets = (1 - self.share) * F.one_hot(came, first.vocabulary_size).float()
        for number, network in enumerate(self.networks if inputs.numel() else ()):
            logits, self.states[number] = network(inputs, self.states[number])
            targets += self.share / len(self.networks) * logits.softmax(dim=2)
        return targets
