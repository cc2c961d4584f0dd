"""Pack matrices as the kernels read them, and multiply in bfloat16 or float32."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from charlm.kernels.checks import OPERANDS, check, check_precision
from charlm.kernels.loading import Precision, address, is_available, lanes, loaded
from charlm.kernels.threads import num_threads


def product(
    rows: Float[Tensor, "*places size"],
    weights: Float[Tensor, "size columns"],
    precision: Precision = "float32",
) -> Float[Tensor, "*places columns"]:
    """Return `rows @ weights`, with operands in `precision`.

    Where gradients are required, the operands are in float32: the training loss has its own kernel,
    `cross_entropy`. Without the kernels, PyTorch computes the product in float32.
    """
    check_precision(precision)
    if not is_available(weights):
        return rows @ weights
    check("weights", weights, (rows.shape[-1], None))
    flat, num_columns = rows.flatten(0, -2), weights.shape[1]
    if torch.is_grad_enabled():
        result = _Product.apply(flat, weights)  # type: ignore[no-untyped-call]
    else:
        flat = flat.to(getattr(torch, precision))
        if precision == "bfloat16" and (odd := flat.shape[1] % 2):  # the kernels read pairs
            flat, weights = F.pad(flat, (0, odd)), F.pad(weights, (0, 0, 0, odd))
        result = multiply(flat, pack_columns(weights, precision), num_columns)
    return result.view(*rows.shape[:-1], num_columns)  # type: ignore[no-any-return]


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(rows, weights)
        return multiply(rows, pack_columns(weights, "float32"), weights.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_product: Tensor) -> tuple[Tensor | None, Tensor | None]:
        rows, weights = ctx.saved_tensors
        d_rows = d_weights = None
        if ctx.needs_input_grad[0]:
            d_rows = multiply(d_product, pack_columns(weights.t(), "float32"), len(weights))
        if ctx.needs_input_grad[1]:
            d_weights = transposed_product(rows, d_product)
        return d_rows, d_weights


def multiply(
    rows: Float[Tensor, "rows size"], packed: Tensor, num_columns: int
) -> Float[Tensor, "rows columns"]:
    """Return `rows @ weights` in float32 for weights that `pack_columns` has packed."""
    check("rows", rows, (None, None), OPERANDS)
    check("packed", packed, (_packed_size(rows.shape[1], num_columns),), (rows.dtype,))
    rows = rows.contiguous()
    product = rows.new_empty(len(rows), num_columns, dtype=torch.float32)
    loaded().charlm_product(
        address(rows),
        *rows.shape,
        address(packed),
        num_columns,
        address(product),
        int(rows.dtype == torch.bfloat16),
        num_threads(),
    )
    return product


def transposed_product(
    rows: Float[Tensor, "places size"], gradients: Float[Tensor, "places columns"]
) -> Float[Tensor, "size columns"]:
    """Return `rows.t() @ gradients` in float32: the gradient of the weights of a product."""
    check("rows", rows, (None, None), OPERANDS)
    check("gradients", gradients, (len(rows), None), (rows.dtype,))
    rows, gradients = (t if t.stride(1) == 1 else t.contiguous() for t in (rows, gradients))
    size, num_columns = rows.shape[1], gradients.shape[1]
    product = rows.new_empty(size, num_columns, dtype=torch.float32)
    loaded().charlm_transposed_product(
        *(address(rows), rows.stride(0), address(gradients), gradients.stride(0)),
        *(len(rows), size, num_columns, address(product)),
        int(rows.dtype == torch.bfloat16),
        num_threads(),
    )
    return product


def sum_rows(
    gradients: Float[Tensor, "places columns"], lookup: Tensor | None, num_rows: int = 1
) -> Float[Tensor, "rows columns"]:
    """Sum the rows that `lookup` gives the same number, in float32; without it, all rows.

    The caller has checked `lookup`.
    """
    places = gradients.shape[0] if lookup is None else lookup.numel()
    check("gradients", gradients, (places, None), OPERANDS)
    if gradients.shape[1] % lanes() or not gradients.is_contiguous():
        raise ValueError("gradients: should be contiguous rows of whole vectors")
    sums = gradients.new_zeros(num_rows, gradients.shape[1], dtype=torch.float32)
    loaded().charlm_sum_rows(
        address(gradients),
        None if lookup is None else address(lookup),
        *gradients.shape,
        address(sums),
        int(gradients.dtype == torch.bfloat16),
        num_threads(),
    )
    return sums


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
    panels = _packed_size(1, weights.shape[1]) // (4 * width)
    return _pack(weights, panels, 4, 4 * width, width, precision)


def _packed_size(size: int, num_columns: int) -> int:
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
