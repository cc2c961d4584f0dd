"""Compute the mean cross-entropy of a softmax layer without keeping the logits in memory."""

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from charlm.kernels.checks import IDS, check, check_ids, check_precision
from charlm.kernels.loading import Precision, address, is_available, lanes, loaded
from charlm.kernels.packing import pack_columns
from charlm.kernels.products import multiply, sum_rows, transposed_product
from charlm.kernels.threads import num_threads

Targets = Int64[Tensor, "*places"] | Float[Tensor, "*places vocabulary"]
"""Targets as ids, or as distributions over the vocabulary."""


def cross_entropy(
    rows: Float[Tensor, "*places hidden"],
    weights: Float[Tensor, "hidden vocabulary"],
    bias: Float[Tensor, " vocabulary"],
    targets: Targets,
    precision: Precision,
) -> Float[Tensor, ""]:
    """Return the mean of −ln softmax(rows @ weights + bias)[target], in nats.

    A target is the id of a symbol, or a distribution over all symbols that weights their nats.

    In bfloat16, charlm's kernels round the operands of the products and the gradient of the logits
    to it. Where the kernels do not run, PyTorch computes the loss in float32.
    """
    check_precision(precision)
    places, distributions = rows.shape[:-1], (*rows.shape[:-1], weights.shape[-1])
    if targets.shape not in (places, distributions):
        raise ValueError(
            f"targets: shape {tuple(places)} or {distributions} was expected, not "
            f"{tuple(targets.shape)}"
        )
    targets = targets.flatten(0, rows.ndim - 2)
    rows = rows.flatten(0, -2)
    if not is_available(weights):
        return F.cross_entropy(rows @ weights + bias, targets)
    check("weights", weights, (rows.shape[1], None))
    check("rows", rows, (None, len(weights)))
    check("bias", bias, (weights.shape[1],))
    if targets.ndim == 1:
        check("targets", targets, (len(rows),), IDS)
        check_ids("targets", targets, weights.shape[1])
    else:
        check("targets", targets, (len(rows), weights.shape[1]))
    loss: Tensor = _CrossEntropy.apply(rows, weights, bias, targets, precision)  # type: ignore[no-untyped-call]
    return loss


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        weights: Tensor,
        bias: Tensor,
        targets: Tensor,
        precision: Precision,
    ) -> Tensor:
        missing = -weights.shape[1] % lanes()
        weights = F.pad(weights, (0, missing))
        bias = F.pad(bias, (0, missing), value=-1e30).contiguous()  # padding has probability 0
        rows, padded = rows.to(getattr(torch, precision)).contiguous(), weights
        if precision == "bfloat16" and rows.shape[1] % 2:  # the kernels read pairs of operands
            rows, padded = F.pad(rows, (0, 1)), F.pad(weights, (0, 0, 0, 1))
        packed = pack_columns(padded, precision)
        is_ids = targets.ndim == 1
        targets = targets.contiguous() if is_ids else F.pad(targets, (0, missing)).contiguous()
        nats = rows.new_empty(len(rows), dtype=torch.float32)
        gradients = rows.new_empty(len(rows), len(bias))
        loaded().charlm_cross_entropy(
            address(rows),
            *rows.shape,
            address(packed),
            address(bias),
            len(bias),
            address(targets) if is_ids else None,
            None if is_ids else address(targets),
            address(nats),
            address(gradients),
            int(precision == "bfloat16"),
            num_threads(),
        )
        ctx.save_for_backward(rows, weights, gradients)
        ctx.num_symbols, ctx.precision = len(bias) - missing, precision
        return nats.mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_loss: Tensor) -> tuple[Tensor | None, ...]:
        rows, weights, gradients = ctx.saved_tensors
        hidden_size, share = len(weights), d_loss / len(rows)
        packed = pack_columns((weights * share).t(), ctx.precision)
        d_rows = multiply(gradients, packed, hidden_size)
        d_weights = transposed_product(rows, gradients)[:hidden_size, : ctx.num_symbols] * share
        d_bias = sum_rows(gradients, None)[0, : ctx.num_symbols] * share
        return d_rows, d_weights, d_bias, None, None
