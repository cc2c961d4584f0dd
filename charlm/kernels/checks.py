"""Check the shapes and types of arguments; the kernels themselves receive only addresses.

The checks find mistakes in the code, not mistakes of users.
"""

import torch
from torch import Tensor

Shape = tuple[int | None, ...]
"""Sizes of the dimensions; None stands for any size."""
FLOAT = (torch.float32,)
OPERANDS = (torch.float32, torch.bfloat16)
IDS = (torch.int64,)
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def check(name: str, tensor: Tensor, shape: Shape, types: tuple[torch.dtype, ...] = FLOAT) -> None:
    """Raise an error unless a tensor has this shape and one of these types, and is on the CPU."""
    if tensor.dtype not in types or tensor.device.type != "cpu":
        wanted = " or ".join(str(dtype) for dtype in types)
        raise TypeError(
            f"{name}: {wanted} on the CPU was expected, not {tensor.dtype} on {tensor.device.type}"
        )
    if not _fits(tensor, shape):
        sizes = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{name}: shape ({sizes}) was expected, not {tuple(tensor.shape)}")


def _fits(tensor: Tensor, shape: Shape) -> bool:
    sizes = zip(tensor.shape, shape, strict=False)
    return tensor.ndim == len(shape) and all(wanted in (None, size) for size, wanted in sizes)


def check_precision(precision: str) -> None:
    """Raise `ValueError` for a precision that the kernels do not know."""
    if precision not in ("float32", "bfloat16"):
        raise ValueError(f"precision: float32 or bfloat16 was expected, not {precision!r}")


def check_ids(name: str, ids: Tensor, num_symbols: int) -> None:
    """Raise `IndexError` for an id without a symbol: the kernels would read other memory."""
    if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < num_symbols:
        raise IndexError(f"{name}: an id is outside the {num_symbols} symbols")


def check_recurrence(
    num_gates: int,
    num_states: int,
    rows: Tensor,
    W_hh: Tensor,
    state: tuple[Tensor, ...],
    inputs: Tensor | None,
    W_xh: Tensor | None,
    lookup: Tensor | None,
    gate: Tensor | None,
    resets: Tensor | None = None,
) -> None:
    """Check the arguments of one call of a cell over a sequence; raise an error for a mistake."""
    if (inputs is None) == (lookup is None) or (inputs is None) != (W_xh is None):
        raise ValueError("either inputs and W_xh should be given, or lookup")
    check("W_hh", W_hh, (None, None))
    hidden_size = len(W_hh)
    gates = num_gates * hidden_size
    check("W_hh", W_hh, (hidden_size, gates))
    if inputs is not None and W_xh is not None:
        check("inputs", inputs, (None, None, None))
        steps, batch, input_size = inputs.shape
        check("W_xh", W_xh, (input_size, gates))
        check("rows", rows, (1, gates))
        places: Shape = (steps, batch, hidden_size)
    else:
        assert lookup is not None
        check("lookup", lookup, (None, None), INTEGERS)
        steps, batch = lookup.shape
        check("rows", rows, (None, gates))
        check_ids("lookup", lookup, len(rows))
        places = (len(rows), hidden_size)
    if steps == 0:
        raise ValueError("a sequence of no steps has no last state")
    if gate is not None:
        check("gate", gate, places)
    if resets is not None:
        check("resets", resets, (steps, batch), (torch.bool,))
    if len(state) != num_states:
        raise ValueError(f"state: {num_states} tensors were expected, not {len(state)}")
    if any(tensor.shape != (batch, hidden_size) for tensor in state):
        raise ValueError(f"state: {batch} columns and {hidden_size} units were expected")
    if not all(tensor.is_floating_point() for tensor in state):
        raise TypeError("state: floats were expected")
