"""Multiply matrices with the kernels, in bfloat16 or float32."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from charlm.kernels.checks import OPERANDS, check, check_precision
from charlm.kernels.loading import Precision, address, is_available, lanes, loaded
from charlm.kernels.packing import pack_columns, packed_size
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
    check("packed", packed, (packed_size(rows.shape[1], num_columns),), (rows.dtype,))
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
