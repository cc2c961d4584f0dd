"""Run recurrent layers with the compiled kernels, forward and backward.

`recurrence.hpp` propagates back through time: at each step, from the last to the first, the
gradient of the hidden state gives the gradient of the gates, and a product with W_hhᵀ carries it to
the previous step. The gradients of the weights are then products over all steps at once.

With bfloat16, the operands of products and the gradients of the recurrent weights are rounded to
it; everything else stays float32.
"""

from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from charlm.kernels.calls import Kernel, call_kernel
from charlm.kernels.checks import check_precision, check_recurrence
from charlm.kernels.loading import Precision, lanes
from charlm.kernels.packing import Packed, pack_columns, pack_gates, pad_gates, pad_units
from charlm.kernels.products import multiply, sum_rows, transposed_product


def run(
    kernel: Kernel,
    packed: Packed | None,
    rows: Float[Tensor, "symbols gates"],
    W_hh: Float[Tensor, "hidden gates"],
    state: tuple[Tensor, ...],
    precision: Precision,
    *,
    inputs: Float[Tensor, "time batch input"] | None = None,
    W_xh: Float[Tensor, "input gates"] | None = None,
    lookup: Int64[Tensor, "time batch"] | None = None,
    gate: Float[Tensor, "*places hidden"] | None = None,
    resets: Bool[Tensor, "time batch"] | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a cell over a sequence of `inputs`, or over the symbols in `lookup`.

    A row of `rows` is added to the gates before the cell's equation: with `lookup`, the row of the
    step's symbol (equal to `symbols @ W_xh + b_h`); with `inputs`, the only row, the bias. `gate`
    multiplies the hidden state before the product with `W_hh`: with `lookup`, its row of the step's
    symbol; with `inputs`, its row of the step and column, as (time, batch, hidden). `packed` keeps
    the packed weights for the next call. Returns the hidden state of every step, and the state
    after the last one.
    """
    check_precision(precision)
    check_recurrence(
        kernel.num_gates, kernel.num_states, rows, W_hh, state, inputs, W_xh, lookup, gate, resets
    )
    hidden_size, width = W_hh.shape[0], lanes()
    lookup = None if lookup is None else lookup.long().contiguous()
    state = tuple(tensor.to(W_hh) for tensor in state)  # the kernels see addresses, not types
    missing = -hidden_size % width
    if missing:  # units with zero weights stay zero and have zero gradients
        rows = pad_gates(rows, kernel.num_gates, missing)
        W_hh = pad_units(W_hh, kernel.num_gates, missing)
        W_xh = None if W_xh is None else pad_gates(W_xh, kernel.num_gates, missing)
        gate = None if gate is None else F.pad(gate, (0, missing))
        state = tuple(F.pad(tensor, (0, missing)) for tensor in state)
        packed = None
    if inputs is not None and W_xh is not None and (surplus := -inputs.shape[2] % width):
        inputs, W_xh = F.pad(inputs, (0, surplus)), F.pad(W_xh, (0, 0, 0, surplus))
        packed = None
    outputs, *last = _Recurrence.apply(  # type: ignore[no-untyped-call]
        *(kernel, packed, precision, torch.is_grad_enabled()),
        *(inputs, lookup, resets, rows, gate, W_xh, W_hh, *state),
    )
    if missing:
        outputs = outputs[:, :, :hidden_size]
        last = [tensor[:, :hidden_size] for tensor in last]
    return outputs, tuple(last)


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        kernel: Kernel,
        packed: Packed | None,
        precision: Precision,
        needs_backward: bool,
        inputs: Tensor | None,
        lookup: Tensor | None,
        resets: Tensor | None,
        rows: Tensor,
        gate: Tensor | None,
        W_xh: Tensor | None,
        W_hh: Tensor,
        *state: Tensor,
    ) -> tuple[Tensor, ...]:
        steps, batch = (lookup if inputs is None else inputs).shape[:2]  # type: ignore[union-attr]
        input_size = 0 if inputs is None else inputs.shape[2]
        hidden_size = W_hh.shape[0]
        operands = W_hh.new_empty(
            steps + 1, batch, input_size + hidden_size, dtype=getattr(torch, precision)
        )
        if inputs is not None:
            operands[:steps, :, :input_size] = inputs
        first = state[0] if resets is None else state[0].masked_fill(resets[0].unsqueeze(1), 0.0)
        operands[0, :, input_size:] = first
        outputs = W_hh.new_empty(steps, batch, hidden_size)
        memory = None
        if kernel.has_memory:
            memory = W_hh.new_empty(steps + 1, batch, hidden_size)
            memory[0] = state[1]
        saved = None
        if needs_backward and kernel.num_saved:
            saved = W_hh.new_empty(steps, batch, kernel.num_saved * hidden_size)
        first_hidden = state[0].contiguous()
        pack = partial(pack_gates, W_xh, W_hh, kernel.num_gates, precision)
        weights = pack() if packed is None else packed.get(pack, precision, W_xh, W_hh)
        rows = rows.contiguous()
        gate = None if gate is None else gate.contiguous()
        resets = None if resets is None else resets.contiguous()
        call_kernel(
            kernel,
            precision,
            backward=False,
            sizes=(steps, batch, input_size, hidden_size),
            lookup=lookup,
            rows=rows,
            weights=weights,
            operands=operands,
            outputs=outputs,
            first_hidden=first_hidden,
            memory=memory,
            saved=saved,
            gate=gate,
            resets=resets,
            zeros=None if resets is None else W_hh.new_zeros(hidden_size),
        )
        ctx.kernel, ctx.precision, ctx.num_symbols = kernel, precision, len(rows)
        tensors = (lookup, resets, gate, W_xh, W_hh, operands, outputs, memory, saved)
        ctx.save_for_backward(*tensors, first_hidden)
        last = () if memory is None else (memory[-1].clone(),)
        return outputs, outputs[-1].clone(), *last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor, *d_last: Tensor) -> tuple[Tensor | None, ...]:
        (lookup, resets, gate, W_xh, W_hh, operands, outputs, memory, saved, first_hidden) = (
            ctx.saved_tensors
        )
        kernel, precision = ctx.kernel, ctx.precision
        steps, batch, hidden_size = outputs.shape
        input_size = operands.shape[2] - hidden_size
        d_state = [tensor.clone(memory_format=torch.contiguous_format) for tensor in d_last]
        d_recurrent = operands.new_empty(steps, batch, kernel.num_gates * hidden_size)
        d_projected = torch.empty_like(d_recurrent) if kernel.splits_projection else d_recurrent
        d_gate = None if gate is None else operands.new_empty(outputs.shape)
        call_kernel(
            kernel,
            precision,
            backward=True,
            sizes=(steps, batch, input_size, hidden_size),
            lookup=lookup,
            weights=pack_columns(W_hh.t(), precision),
            outputs=outputs,
            first_hidden=first_hidden,
            memory=memory,
            saved=saved,
            d_outputs=d_outputs.contiguous(),
            d_hidden=d_state[0],
            d_memory=d_state[1] if kernel.has_memory else None,
            d_recurrent=d_recurrent,
            d_projected=d_projected if kernel.splits_projection else None,
            gate=gate,
            d_gate=d_gate,
            resets=resets,
            zeros=None if resets is None else W_hh.new_zeros(hidden_size),
        )
        if d_gate is not None and lookup is not None:
            d_gate = sum_rows(d_gate.flatten(0, 1), lookup, ctx.num_symbols)
        # Over all steps at once: (time·batch, …)
        operands = operands[:steps].flatten(0, 1)
        d_recurrent, d_projected = d_recurrent.flatten(0, 1), d_projected.flatten(0, 1)
        d_W_xh = d_inputs = None
        if W_xh is None:
            d_W_hh = transposed_product(operands, d_recurrent)
        elif kernel.splits_projection:
            d_W_xh = transposed_product(operands[:, :input_size], d_projected)
            d_W_hh = transposed_product(operands[:, input_size:], d_recurrent)
        else:
            d_weights = transposed_product(operands, d_recurrent)
            d_W_xh, d_W_hh = d_weights[:input_size], d_weights[input_size:]
        if W_xh is not None and ctx.needs_input_grad[4]:
            d_inputs = multiply(d_projected, pack_columns(W_xh.t(), precision), input_size)
            d_inputs = d_inputs.view(steps, batch, input_size)
        d_rows = sum_rows(d_projected, lookup, ctx.num_symbols)
        d_gate = None if d_gate is None else d_gate.float()
        return (
            *(None, None, None, None, d_inputs, None, None),
            *(d_rows, d_gate, d_W_xh, d_W_hh, *d_state),
        )
