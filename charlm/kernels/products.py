"""A matrix product with operands in bfloat16 and sums in float32."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from charlm.kernels.recurrence import Precision, is_available, multiply, pack_columns


def product(
    rows: Float[Tensor, "*places size"],
    weights: Float[Tensor, "size columns"],
    precision: Precision,
) -> Float[Tensor, "*places columns"]:
    """Return `rows @ weights`, its operands and those of its gradients in `precision`.

    Where the kernels do not run, in float32.
    """
    if precision == "float32" or not is_available(weights):
        return rows @ weights
    result: Tensor = _Product.apply(rows.flatten(0, -2), weights)  # type: ignore[no-untyped-call]
    return result.view(*rows.shape[:-1], -1)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weights: Tensor) -> Tensor:
        low_rows, low_weights = rows.bfloat16(), weights.bfloat16()
        ctx.save_for_backward(low_rows, low_weights)
        return _multiply(low_rows, low_weights)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        rows, weights = ctx.saved_tensors
        low = gradient.bfloat16()
        return _multiply(low, weights.t()), (rows.t() @ low).float()


def _multiply(rows: Tensor, weights: Tensor) -> Tensor:
    """Return the product of matrices in bfloat16 as sums in float32."""
    weights = weights.float()
    if odd := rows.shape[1] % 2:  # the kernels take operands by twos
        rows, weights = F.pad(rows, (0, odd)), F.pad(weights, (0, 0, 0, odd))
    return multiply(rows, pack_columns(weights, "bfloat16"), weights.shape[1])
