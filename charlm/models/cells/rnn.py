"""The simple recurrent network: equation, and PyTorch's kernels.

Elman, "Finding structure in time", 1990; the book's section 6.2.2.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from charlm.kernels.calls import Kernel
from charlm.models.cells.cell import Cell, State
from charlm.models.cells.runs import Runs


class RNNCell(Cell):
    """Simple recurrent network with φ = tanh.

        H_t = φ(X_t W_xh + H_{t-1} W_hh + b_h)

    X_t is (batch, input), H_t is (batch, hidden).
    """

    kernel = Kernel("rnn_tanh", num_gates=1, num_states=1, num_saved=0)

    def step(self, X: Float[Tensor, "batch input"], state: State) -> State:
        (H,) = state
        return (self.nonlinearity(X @ self.W_xh + H @ self.W_hh + self.b_h),)

    def fused(
        self,
        inputs: Float[Tensor, "time batch input"],
        state: State,
        resets: Bool[Tensor, "time batch"] | None = None,
    ) -> tuple[Float[Tensor, "time batch hidden"], State]:
        (H,) = state
        weights, train = self.kernel_weights(), self.training
        if resets is not None:
            runs = Runs(inputs, state, resets)
            return runs.unpack(
                *self.torch_kernel(
                    runs.data, runs.batch_sizes, runs.state[0], weights, True, 1, 0.0, train, False
                )
            )
        outputs, H_last = self.torch_kernel(
            inputs, H.unsqueeze(0), weights, True, 1, 0.0, train, False, False
        )
        return outputs, (H_last.squeeze(0),)

    nonlinearity = staticmethod(torch.tanh)
    """φ."""
    torch_kernel: Callable[..., tuple[Tensor, Tensor]] = staticmethod(torch.rnn_tanh)
    """PyTorch's kernel for a sequence with this φ."""


class ReLUCell(RNNCell):
    """Simple recurrent network with φ = ReLU."""

    kernel = Kernel("rnn_relu", num_gates=1, num_states=1, num_saved=0)

    nonlinearity = staticmethod(torch.relu)  # type: ignore[assignment] # the same but for `out=`
    torch_kernel = staticmethod(torch.rnn_relu)
