"""The contract of all cells: `cell(inputs, state) → (outputs, state)` over a whole sequence."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

State = tuple[Float[Tensor, "batch hidden"], ...]
"""What a cell remembers: `(H,)`, or `(H, C)` for cells with a memory beside the hidden state."""


class Cell(nn.Module, ABC):
    """A recurrent layer: `W_xh` from the input, `W_hh` from the hidden state, the bias `b_h`.

    Matrices stand as in the book, to the right of their argument: `X W_xh + H W_hh + b_h` with
    `W_xh` of shape `(input, gates·hidden)`. A gated cell keeps its gates' matrices side by side.
    The parameters do not depend on how many steps the cell is run for.

    `step` is the equation, and `equations` applies it step by step; `fused` computes the same with
    PyTorch's fastest kernel. They share the parameters and are tested to be equal.
    """

    num_gates: ClassVar[int] = 1
    """Blocks of `hidden` columns in the matrices."""
    num_states: ClassVar[int] = 1
    """Tensors in the state."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        implementation: Literal["fused", "equations"] = "fused",
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.implementation = implementation
        self.W_xh = nn.Parameter(torch.empty(input_size, self.num_gates * hidden_size))
        self.W_hh = nn.Parameter(torch.empty(hidden_size, self.num_gates * hidden_size))
        self.b_h = nn.Parameter(torch.zeros(self.num_gates * hidden_size))

    def initial_state(self, batch_size: int) -> State:
        """Return the state before the first step: zeros."""
        shape = (batch_size, self.hidden_size)
        return tuple(self.W_hh.new_zeros(shape) for _ in range(self.num_states))

    def forward(
        self, inputs: Float[Tensor, "time batch input"], state: State
    ) -> tuple[Float[Tensor, "time batch hidden"], State]:
        """Run over a sequence; return every hidden state and the state after the last step."""
        # On a CPU the kernel re-orders its weights at every call, which one step never earns back.
        one_step_on_cpu = len(inputs) == 1 and inputs.device.type == "cpu"
        if self.implementation == "equations" or one_step_on_cpu:
            return self.equations(inputs, state)
        return self.fused(inputs, state)

    def equations(
        self, inputs: Float[Tensor, "time batch input"], state: State
    ) -> tuple[Float[Tensor, "time batch hidden"], State]:
        """Run the equation step by step."""
        outputs = []
        for X in inputs:
            state = self.step(X, state)
            outputs.append(state[0])
        return torch.stack(outputs), state

    @abstractmethod
    def step(self, X: Float[Tensor, "batch input"], state: State) -> State:
        """Apply the cell's equation once."""

    @abstractmethod
    def fused(
        self, inputs: Float[Tensor, "time batch input"], state: State
    ) -> tuple[Float[Tensor, "time batch hidden"], State]:
        """Run over a sequence with PyTorch's kernel."""

    def kernel_weights(self) -> list[Tensor]:
        """Return the parameters as PyTorch's kernels take them.

        They multiply from the left, so matrices are transposed, and they have a second bias, which
        is redundant and stays zero here.
        """
        weights = [self.W_xh.t().contiguous(), self.W_hh.t().contiguous(), self.b_h]
        return [*weights, torch.zeros_like(self.b_h)]
