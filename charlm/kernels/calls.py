"""Call the kernels of `recurrence.hpp` with the sizes and the addresses of tensors."""

import ctypes
from dataclasses import dataclass

from torch import Tensor

from charlm.kernels.loading import Precision, address, loaded
from charlm.kernels.threads import num_threads


@dataclass(frozen=True)
class Kernel:
    """Properties of a cell, and its name in `recurrence.hpp`."""

    name: str
    num_gates: int
    """Number of blocks of `hidden` columns in the matrices."""
    num_states: int
    """Number of tensors in the state: H, or H and C."""
    num_saved: int
    """Number of values per unit that the backward pass needs besides the states."""
    splits_projection: bool = False
    """Whether the gradient of the projected input differs from that of the recurrent product."""

    @property
    def has_memory(self) -> bool:
        """Whether the state contains C besides H."""
        return self.num_states == 2


class Call(ctypes.Structure):
    """Arguments of a kernel: `Call` in recurrence.hpp."""

    _fields_ = tuple(
        (name, ctypes.c_int64) for name in ("steps", "batch", "inputs", "hidden", "threads")
    ) + tuple(
        (name, ctypes.c_void_p)
        for name in (
            *("lookup", "rows", "weights", "operands", "outputs", "first_hidden", "memory"),
            *("saved", "d_outputs", "d_hidden", "d_memory", "d_recurrent", "d_projected"),
            *("gate", "d_gate", "resets", "zeros"),
        )
    )


def call_kernel(
    kernel: Kernel,
    precision: Precision,
    *,
    backward: bool,
    sizes: tuple[int, int, int, int],
    **tensors: Tensor | None,
) -> None:
    """Run a cell forward or backward; `tensors` are the fields of `Call`."""
    addresses = {name: address(tensor) for name, tensor in tensors.items() if tensor is not None}
    call = Call(*sizes, num_threads(), **addresses)
    function = getattr(loaded(), f"charlm_{kernel.name}")
    function(ctypes.byref(call), int(precision == "bfloat16"), int(backward))
