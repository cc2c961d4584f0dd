"""The Mogrifier in PyTorch: `torch_code` writes it into `model.py` where it is needed."""

from typing import Any

import torch
from torch import Tensor, nn


class Mogrifier(nn.Module):
    """LSTM layers in which a gate of the input, 2σ(W x + b), scales h before each step.

    Melis, Kočiský and Blunsom, "Mogrifier LSTM", 2020, with one round.
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        sizes = [input_size] + [hidden_size] * (num_layers - 1)
        self.gates = nn.ModuleList(nn.Linear(size, hidden_size) for size in sizes)
        self.cells = nn.ModuleList(nn.LSTMCell(size, hidden_size) for size in sizes)

    def forward(self, vectors: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Read vectors (time, batch, input), as `nn.LSTM` does."""
        if state is None:
            zeros = vectors.new_zeros(vectors.shape[1], self.hidden_size)
            state = [[zeros] * len(self.cells)] * 2
        ends = []
        for gate, cell, h, c in zip(self.gates, self.cells, *state, strict=True):
            steps = [(h, c)]
            for x, scale in zip(vectors, 2 * gate(vectors).sigmoid(), strict=True):
                steps.append(cell(x, (scale * steps[-1][0], steps[-1][1])))
            vectors = torch.stack([h for h, _ in steps[1:]])
            ends.append(steps[-1])
        return vectors, tuple(map(torch.stack, zip(*ends, strict=True)))
