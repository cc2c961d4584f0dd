"""The LSTM with a Mogrifier gate (Melis, Kočiský and Blunsom, 2020)."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from charlm.models.cells.cell import State
from charlm.models.cells.lstm import LSTMCell


class MogrifierCell(LSTMCell):
    """An LSTM in which the input first says how much of each hidden unit it listens to.

        G_t = 2σ(X_t W_xg + b_g)
        H'_{t-1} = G_t ⊙ H_{t-1}

    and H' takes the place of H_{t-1} in the LSTM's equations. That is a Mogrifier of one round, the
    one that scales the hidden state. The paper goes on, and lets H' scale X, X again H', and so
    on: each such round is a product that has to wait for the step before, whereas this gate
    depends on the input alone, and costs next to nothing.
    """

    has_hidden_gate = True

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        implementation: Literal["fused", "equations"] = "fused",
    ) -> None:
        super().__init__(input_size, hidden_size, implementation)
        self.W_xg = nn.Parameter(torch.empty(input_size, hidden_size))
        self.b_g = nn.Parameter(torch.zeros(hidden_size))

    def hidden_gate(
        self, inputs: Float[Tensor, "*places input"] | None
    ) -> Float[Tensor, "*places hidden"]:
        return 2 * torch.sigmoid((self.W_xg if inputs is None else inputs @ self.W_xg) + self.b_g)

    def step(self, X: Float[Tensor, "batch input"], state: State) -> State:
        H, C = state
        return super().step(X, (self.hidden_gate(X) * H, C))

    def fused(
        self, inputs: Float[Tensor, "time batch input"], state: State
    ) -> tuple[Float[Tensor, "time batch hidden"], State]:
        return self.equations(inputs, state)  # PyTorch has no kernel for it
