"""Pack matrices as the kernels read them."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from charlm.kernels.checks import check, check_precision
from charlm.kernels.loading import Precision, address, lanes, loaded
from charlm.kernels.threads import num_threads


class Packed:
    """Cache of packed parameters, for use without gradients.

    A fused optimiser changes parameters but not their version, so a forward pass with gradients
    must `forget` the packed ones. The cache is safe for several threads: an entry and its key are
    replaced at once.
    """

    def __init__(self) -> None:
        self._entry: tuple[Any, Tensor] | None = None

    def __reduce__(self) -> tuple[type["Packed"], tuple[()]]:
        return Packed, ()  # a copy has other addresses, and perhaps another processor

    def forget(self) -> None:
        self._entry = None

    def get(
        self, pack: Callable[[], Tensor], precision: Precision, *parameters: Tensor | None
    ) -> Tensor:
        """Return the packed parameters; call `pack` if they have changed since the last call."""
        if any(p is not None and p.is_inference() for p in parameters):
            return pack()  # tensors without a version do not show a change
        # PyTorch has no public function that tells whether a tensor has changed.
        versions = [None if p is None else (p.data_ptr(), p._version) for p in parameters]
        key, entry = (versions, precision), self._entry
        if entry is None or entry[0] != key:
            self._entry = entry = key, pack()
        return entry[1]


def pack_gates(
    W_xh: Tensor | None,
    W_hh: Float[Tensor, "hidden gates"],
    num_gates: int,
    precision: Precision,
) -> Tensor:
    """Pack `[W_xh; W_hh]` so that all gates of a unit are adjacent."""
    check("W_hh", W_hh, (None, num_gates * len(W_hh)))
    if W_xh is not None:
        check("W_xh", W_xh, (None, W_hh.shape[1]))
    weights = W_hh if W_xh is None else torch.cat([W_xh, W_hh])
    hidden_size = len(W_hh)
    if hidden_size % lanes():
        raise ValueError(f"W_hh: a multiple of {lanes()} units was expected, not {hidden_size}")
    if num_gates == 1:
        return pack_columns(weights, precision)
    return _pack(weights, hidden_size // lanes(), num_gates, lanes(), hidden_size, precision)


def pack_columns(weights: Float[Tensor, "size columns"], precision: Precision) -> Tensor:
    """Pack a matrix so that `multiply` reads its columns in their order."""
    check("weights", weights, (None, None))
    width = lanes()
    panels = packed_size(1, weights.shape[1]) // (4 * width)
    return _pack(weights, panels, 4, 4 * width, width, precision)


def packed_size(size: int, num_columns: int) -> int:
    """Return the number of elements of a matrix that is packed in panels of four vectors."""
    width = 4 * lanes()
    return -(-num_columns // width) * width * size


def _pack(
    weights: Float[Tensor, "size columns"],
    panels: int,
    vectors: int,
    panel_stride: int,
    vector_stride: int,
    precision: Precision,
) -> Tensor:
    size, num_columns = weights.shape
    check_precision(precision)
    if precision == "bfloat16" and size % 2:
        raise ValueError(f"weights: an even number of rows was expected, not {size}")
    packed = weights.new_empty(panels * vectors * size * lanes(), dtype=getattr(torch, precision))
    loaded().charlm_pack(
        address(weights),
        *weights.stride(),
        size,
        num_columns,
        panels,
        vectors,
        panel_stride,
        vector_stride,
        int(precision == "bfloat16"),
        address(packed),
        num_threads(),
    )
    return packed


def pad_gates(weights: Tensor, num_gates: int, missing: int) -> Tensor:
    """Add `missing` units with zero weights to every gate."""
    return F.pad(weights.view(len(weights), num_gates, -1), (0, missing)).flatten(1)


def pad_units(weights: Tensor, num_gates: int, missing: int) -> Tensor:
    """Add `missing` units with zero weights to every gate, and as many rows for these units."""
    return F.pad(pad_gates(weights, num_gates, missing), (0, 0, 0, missing))
