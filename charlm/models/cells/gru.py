"""The GRU: equations, and PyTorch's kernel.

Cho and others, "Learning phrase representations using RNN encoder-decoder", 2014.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from charlm.kernels.calls import Kernel
from charlm.models.cells.cell import Cell, State
from charlm.models.cells.runs import Runs


class GRUCell(Cell):
    """Gated recurrent unit: a reset gate R, an update gate Z, and a candidate H̃.

        R_t = σ(X_t W_xr + H_{t-1} W_hr + b_r)
        Z_t = σ(X_t W_xz + H_{t-1} W_hz + b_z)
        H̃_t = tanh(X_t W_xh + R_t ⊙ (H_{t-1} W_hh) + b_h)
        H_t = Z_t ⊙ H_{t-1} + (1 − Z_t) ⊙ H̃_t

    The reset gate acts after the product with W_hh, as in the first version of the paper
    (arXiv 1406.1078v1) and in cuDNN, so that one product computes all three. Books often print
    the later version, (R_t ⊙ H_{t-1}) W_hh.

    X_t is (batch, input), all others are (batch, hidden). The columns of W_xh, W_hh and b_h are
    those of R, Z and H̃, in this order.
    """

    kernel = Kernel("gru", num_gates=3, num_states=1, num_saved=4, splits_projection=True)

    def step(self, X: Float[Tensor, "batch input"], state: State) -> State:
        (H,) = state
        X_r, X_z, X_h = (X @ self.W_xh + self.b_h).chunk(3, dim=1)
        H_r, H_z, H_h = (H @ self.W_hh).chunk(3, dim=1)
        R = torch.sigmoid(X_r + H_r)
        Z = torch.sigmoid(X_z + H_z)
        candidate = torch.tanh(X_h + R * H_h)
        return (Z * H + (1 - Z) * candidate,)

    def fused(
        self,
        inputs: Float[Tensor, "time batch input"],
        state: State,
        resets: Bool[Tensor, "time batch"] | None = None,
    ) -> tuple[Float[Tensor, "time batch hidden"], State]:
        (H,), weights, train = state, self.kernel_weights(), self.training
        if resets is not None:
            runs = Runs(inputs, state, resets)
            return runs.unpack(
                *torch.gru(
                    runs.data, runs.batch_sizes, runs.state[0], weights, True, 1, 0.0, train, False
                )
            )
        outputs, H_last = torch.gru(
            inputs, H.unsqueeze(0), weights, True, 1, 0.0, train, False, False
        )
        return outputs, (H_last.squeeze(0),)
