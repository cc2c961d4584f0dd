"""Train with the model and the loop of common PyTorch tutorials, to compare charlm with them.

This module does not import charlm. `charlm bench` runs it in a separate process, because charlm's
settings of memory and threads would change its speed.
"""

import json
import math
import sys
from typing import Any

import torch
from torch import Tensor, nn


class PlainLoop:
    """A model of torch.nn in float32 that learns from random ids and carries its state."""

    def __init__(
        self,
        *,
        cell: str,
        nonlinearity: str,
        vocabulary_size: int,
        embedding_size: int,
        hidden_size: int,
        num_layers: int,
        dropout: float,
        batch_size: int,
        sequence_length: int,
        max_gradient_norm: float | None,
        device: str,
    ) -> None:
        self.max_gradient_norm = max_gradient_norm or math.inf
        sizes = (embedding_size, hidden_size, num_layers)
        layer_dropout = dropout if num_layers > 1 else 0.0
        self.cells: nn.RNNBase
        if cell == "rnn":
            self.cells = nn.RNN(*sizes, nonlinearity=nonlinearity, dropout=layer_dropout)
        elif cell == "gru":
            self.cells = nn.GRU(*sizes, dropout=layer_dropout)
        else:
            self.cells = nn.LSTM(*sizes, dropout=layer_dropout)
        self.embedding = nn.Embedding(vocabulary_size, embedding_size)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_size, vocabulary_size)
        modules = nn.ModuleList([self.embedding, self.cells, self.output]).to(device)
        self.parameters = list(modules.parameters())
        self.optimizer = torch.optim.AdamW(self.parameters, lr=2e-3)
        shape = (sequence_length + 1, batch_size)
        self.ids = torch.randint(vocabulary_size, shape, device=device)
        self.state: Any = None
        self.total_loss = 0.0

    def loss(self) -> Tensor:
        """Return the mean cross-entropy of a batch of ids; the next batch continues its state."""
        outputs, state = self.cells(self.embedding(self.ids[:-1]), self.state)
        is_pair = isinstance(state, tuple)
        self.state = tuple(part.detach() for part in state) if is_pair else state.detach()
        logits = self.output(self.dropout(outputs))
        return nn.functional.cross_entropy(logits.flatten(0, 1), self.ids[1:].flatten())

    def take_step(self) -> int:
        """Learn from a batch; return its number of characters.

        The loss is read, as tutorials do to print it: so a GPU is at most one step behind.
        """
        loss = self.loss()
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.parameters, self.max_gradient_norm)
        self.optimizer.step()
        self.total_loss += loss.item()
        return self.ids[1:].numel()


def main() -> None:
    """Take a step for each input line, and print the number of characters."""
    loop = PlainLoop(**json.loads(sys.argv[1]))
    for _ in sys.stdin:
        print(loop.take_step(), flush=True)


if __name__ == "__main__":
    main()
