"""The LSTM: equations, and PyTorch's kernel.

Hochreiter and Schmidhuber, "Long short-term memory", 1997; the forget gate is that of Gers,
Schmidhuber and Cummins, "Learning to forget", 2000.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from charlm.kernels.calls import Kernel
from charlm.models.cells.cell import Cell, State
from charlm.models.cells.runs import Runs


class LSTMCell(Cell):
    """Long short-term memory: a memory cell C with an input, a forget and an output gate.

        I_t = σ(X_t W_xi + H_{t-1} W_hi + b_i)
        F_t = σ(X_t W_xf + H_{t-1} W_hf + b_f)
        C̃_t = tanh(X_t W_xc + H_{t-1} W_hc + b_c)
        O_t = σ(X_t W_xo + H_{t-1} W_ho + b_o)
        C_t = F_t ⊙ C_{t-1} + I_t ⊙ C̃_t
        H_t = O_t ⊙ tanh(C_t)

    ⊙ is the product of elements. X_t is (batch, input), all others are (batch, hidden). The columns
    of W_xh, W_hh and b_h are those of I, F, C̃ and O, in this order.
    """

    kernel = Kernel("lstm", num_gates=4, num_states=2, num_saved=4)

    def step(self, X: Float[Tensor, "batch input"], state: State) -> State:
        H, C = state
        gates = X @ self.W_xh + H @ self.W_hh + self.b_h
        I, F, candidate, O = gates.chunk(4, dim=1)  # noqa: E741 - the book's letters
        C = torch.sigmoid(F) * C + torch.sigmoid(I) * torch.tanh(candidate)
        H = torch.sigmoid(O) * torch.tanh(C)
        return H, C

    def fused(
        self,
        inputs: Float[Tensor, "time batch input"],
        state: State,
        resets: Bool[Tensor, "time batch"] | None = None,
    ) -> tuple[Float[Tensor, "time batch hidden"], State]:
        (H, C), weights, train = state, self.kernel_weights(), self.training
        if resets is not None:
            runs = Runs(inputs, state, resets)
            return runs.unpack(
                *torch.lstm(
                    runs.data, runs.batch_sizes, runs.state, weights, True, 1, 0.0, train, False
                )
            )
        outputs, H_last, C_last = torch.lstm(
            inputs,
            (H.unsqueeze(0), C.unsqueeze(0)),
            weights,
            True,
            1,
            0.0,
            train,
            False,
            False,
        )
        return outputs, (H_last.squeeze(0), C_last.squeeze(0))
