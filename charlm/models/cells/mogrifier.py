"""The LSTM with a Mogrifier gate: equations.

Melis, Kočiský and Blunsom, "Mogrifier LSTM", 2020.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from charlm.kernels.products import product
from charlm.models.cells.cell import State
from charlm.models.cells.lstm import LSTMCell
from charlm.models.weights import unset_weights


class MogrifierCell(LSTMCell):
    """LSTM in which a gate of the input scales the hidden state before each step.

        G_t = 2σ(X_t W_xg + b_g)
        H'_{t-1} = G_t ⊙ H_{t-1}

    H' replaces H_{t-1} in the LSTM's equations. This is the Mogrifier with one round. In the paper
    H' then scales X, which scales H' again, and so on. Each of these rounds needs the result of
    the previous step, but this gate depends on the input only, and costs almost nothing.
    """

    has_hidden_gate = True

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        implementation: Literal["fused", "equations"] = "fused",
    ) -> None:
        super().__init__(input_size, hidden_size, implementation)
        self.W_xg = unset_weights(input_size, hidden_size)
        self.b_g = nn.Parameter(torch.zeros(hidden_size))

    def hidden_gate(
        self, inputs: Float[Tensor, "*places input"] | None
    ) -> Float[Tensor, "*places hidden"]:
        projected = self.W_xg if inputs is None else product(inputs, self.W_xg)
        return 2 * torch.sigmoid(projected + self.b_g)

    def step(self, X: Float[Tensor, "batch input"], state: State) -> State:
        H, C = state
        return super().step(X, (self.hidden_gate(X) * H, C))

    def fused(
        self,
        inputs: Float[Tensor, "time batch input"],
        state: State,
        resets: Bool[Tensor, "time batch"] | None = None,
    ) -> tuple[Float[Tensor, "time batch hidden"], State]:
        return self.equations(inputs, state, resets)  # PyTorch has no such kernel
