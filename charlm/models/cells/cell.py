"""The interface of all cells: `cell(inputs, state) → (outputs, state)` over a sequence.

inputs (time, batch, input), outputs (time, batch, hidden), tensors of the state (batch, hidden).
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from charlm.kernels import recurrence
from charlm.kernels.calls import Kernel
from charlm.kernels.loading import Precision, is_available, precision_here
from charlm.kernels.packing import Packed
from charlm.kernels.products import product
from charlm.models.weights import unset_weights

State = tuple[Float[Tensor, "batch hidden"], ...]
"""The hidden state `(H,)`, or `(H, C)` for cells that also have a memory C."""


class Cell(nn.Module, ABC):
    """A recurrent layer: `W_xh` from the input, `W_hh` from the hidden state, the bias `b_h`.

    As in the book, matrices multiply from the right: `X W_xh + H W_hh + b_h`, with `W_xh` of shape
    `(input, gates·hidden)`, `W_hh` of shape `(hidden, gates·hidden)` and `b_h` of shape
    `(gates·hidden,)`. The matrices of a cell's gates are side by side.

    `step` is the equation, and `equations` applies it step by step. On a CPU charlm's compiled
    kernels compute the same; elsewhere, or without a compiler, PyTorch's do (`fused`). They share
    the parameters, and tests compare their results.
    """

    num_gates: ClassVar[int] = 1
    """Blocks of `hidden` columns in the matrices; a `kernel` sets it."""
    num_states: ClassVar[int] = 1
    """Tensors in the state; a `kernel` sets it."""
    has_hidden_gate: ClassVar[bool] = False
    """Whether the input scales the hidden state (see `hidden_gate`)."""
    kernel: ClassVar[Kernel]
    """Its number of gates and states, and its name in the compiled kernels; without one, PyTorch
    runs the cell."""

    def __init_subclass__(cls) -> None:
        if "kernel" in vars(cls):
            cls.num_gates, cls.num_states = cls.kernel.num_gates, cls.kernel.num_states

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        implementation: Literal["fused", "equations"] = "fused",
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.implementation = implementation
        self.precision: Precision = "float32"
        """Precision of operands in the compiled kernels; `computing_in` overrides it."""
        self.W_xh = unset_weights(input_size, self.num_gates * hidden_size)
        self.W_hh = unset_weights(hidden_size, self.num_gates * hidden_size)
        self.b_h = nn.Parameter(torch.zeros(self.num_gates * hidden_size))
        self._packed = Packed()

    def initial_state(self, batch_size: int) -> State:
        """Return the state before the first step: zeros."""
        shape = (batch_size, self.hidden_size)
        return tuple(self.W_hh.new_zeros(shape) for _ in range(self.num_states))

    def forward(
        self,
        inputs: Float[Tensor, "time batch input"],
        state: State,
        resets: Bool[Tensor, "time batch"] | None = None,
    ) -> tuple[Float[Tensor, "time batch hidden"], State]:
        """Run over a sequence; return every hidden state and the state after the last step.

        Where `resets` is true, the state before the step is replaced by the initial state.
        """
        if self.implementation == "equations":
            return self.equations(inputs, state, resets)
        if self.is_compiled():
            return recurrence.run(
                self.kernel,
                self._weights_cache(),
                self.b_h.unsqueeze(0),
                self.W_hh,
                state,
                precision_here(self.precision),
                inputs=inputs,
                W_xh=self.W_xh,
                gate=self.hidden_gate(inputs),
                resets=resets,
            )
        # On a CPU, PyTorch's kernel reorders its weights at every call: too slow for one step.
        if len(inputs) == 1 and inputs.device.type == "cpu":
            return self.equations(inputs, state, resets)
        return self.fused(inputs, state, resets)

    def read(
        self,
        ids: Int64[Tensor, "time batch"],
        vectors: Float[Tensor, "symbols input"] | None,
        state: State,
        resets: Bool[Tensor, "time batch"] | None = None,
    ) -> tuple[Float[Tensor, "time batch hidden"], State]:
        """Run over symbols, given their `ids`: over their `vectors`, or over one-hot vectors.

        The compiled kernels look `X W_xh + b_h` up in a table of all symbols. The table is not
        computed if the sequences have fewer characters than there are symbols.
        """
        is_short = vectors is not None and ids.numel() < len(vectors)
        if self.implementation == "equations" or not self.is_compiled() or is_short:
            if vectors is None:
                one_hot = F.one_hot(ids, len(self.W_xh)).to(self.W_xh.dtype)
                return self.forward(one_hot, state, resets)
            return self.forward(F.embedding(ids, vectors), state, resets)
        rows, gate = self.project_symbols(vectors)
        return recurrence.run(
            self.kernel,
            self._weights_cache(),
            rows,
            self.W_hh,
            state,
            precision_here(self.precision),
            lookup=ids,
            gate=gate,
            resets=resets,
        )

    def project_symbols(
        self, vectors: Float[Tensor, "symbols input"] | None
    ) -> tuple[Float[Tensor, "symbols gates"], Float[Tensor, "symbols hidden"] | None]:
        """Return each symbol's `X W_xh + b_h` and its gate of the hidden state, if there is one."""
        projected = self.W_xh if vectors is None else product(vectors, self.W_xh)
        return projected + self.b_h, self.hidden_gate(vectors)

    def hidden_gate(
        self, inputs: Float[Tensor, "*places input"] | None
    ) -> Float[Tensor, "*places hidden"] | None:
        """Return the factors of the hidden state before the product with `W_hh`; None: no gate.

        Without `inputs`, those for the one-hot vector of each symbol.
        """
        return None

    def _weights_cache(self) -> Packed | None:
        """Return the cache of packed weights; in training, where they change, empty it."""
        if self.training or torch.is_grad_enabled():
            self._packed.forget()
            return None
        return self._packed

    def is_compiled(self) -> bool:
        """Return whether the compiled kernels run this cell on the device of its parameters."""
        return hasattr(self, "kernel") and is_available(self.W_hh)

    def equations(
        self,
        inputs: Float[Tensor, "time batch input"],
        state: State,
        resets: Bool[Tensor, "time batch"] | None = None,
    ) -> tuple[Float[Tensor, "time batch hidden"], State]:
        """Run the equation step by step."""
        outputs = []
        for t, X in enumerate(inputs):
            if resets is not None:
                state = reset(state, resets[t])
            state = self.step(X, state)
            outputs.append(state[0])
        return torch.stack(outputs), state

    @abstractmethod
    def step(self, X: Float[Tensor, "batch input"], state: State) -> State:
        """Apply the cell's equation once."""

    def fused(
        self,
        inputs: Float[Tensor, "time batch input"],
        state: State,
        resets: Bool[Tensor, "time batch"] | None = None,
    ) -> tuple[Float[Tensor, "time batch hidden"], State]:
        """Run over a sequence with PyTorch's kernel, if it has one for this cell."""
        return self.equations(inputs, state, resets)

    def kernel_weights(self) -> list[Tensor]:
        """Return the parameters as PyTorch's kernels take them.

        These multiply from the left, so the matrices are transposed. Their second bias is
        redundant; it is zero here.
        """
        weights = [self.W_xh.t().contiguous(), self.W_hh.t().contiguous(), self.b_h]
        return [*weights, torch.zeros_like(self.b_h)]


def reset(state: State, resets: Bool[Tensor, " batch"]) -> State:
    """Return a state that is zero in the columns that are reset."""
    return tuple(tensor.masked_fill(resets.unsqueeze(1), 0.0) for tensor in state)
