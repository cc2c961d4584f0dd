"""A matrix product with operands in bfloat16 and sums in float32."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from charlm.kernels.recurrence import Precision, is_available, multiply, pack_columns


def product(
    rows: Float[Tensor, "*places size"],
    weights: Float[Tensor, "size columns"],
    precision: Precision,
) -> Float[Tensor, "*places columns"]:
    """Return `rows @ weights`, its operands in `precision`.

    In float32 where the kernels do not run, and where gradients are wanted: the loss of training
    has a kernel of its own, `cross_entropy`.
    """
    if precision == "float32" or torch.is_grad_enabled() or not is_available(weights):
        return rows @ weights
    low = rows.flatten(0, -2).bfloat16()
    if odd := low.shape[1] % 2:  # the kernels take operands by twos
        low, weights = F.pad(low, (0, odd)), F.pad(weights, (0, 0, 0, odd))
    result = multiply(low, pack_columns(weights, "bfloat16"), weights.shape[1])
    return result.view(*rows.shape[:-1], -1)
