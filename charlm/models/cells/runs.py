"""Divide columns into runs, each from one reset to the next, for PyTorch's kernels."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from charlm.models.cells.cell import State


class Runs:
    """The runs of all columns as sequences of their own, the longest first.

    PyTorch's kernels cannot change the state within a sequence, but they read sequences of
    different lengths side by side: `data` has the first steps of all runs, then the second ones of
    those that are longer, and so on; `batch_sizes` are the numbers of these.
    """

    def __init__(
        self,
        inputs: Float[Tensor, "time batch input"],
        state: State,
        resets: Bool[Tensor, "time batch"],
    ) -> None:
        steps, batch = resets.shape
        begins = resets.clone()
        begins[0] = True
        places = begins.t().flatten().nonzero().flatten()  # column after column
        run_of = begins.t().flatten().cumsum(0) - 1
        offsets = torch.arange(steps * batch, device=places.device) - places[run_of]
        order = torch.bincount(run_of).argsort(descending=True, stable=True)
        rank = order.argsort()
        self._order = (offsets * len(order) + rank[run_of]).argsort()
        self._last = rank[run_of.view(batch, steps)[:, -1]]
        self._shape = batch, steps
        self.data: Float[Tensor, "places input"] = inputs.transpose(0, 1).flatten(0, 1)[self._order]
        self.batch_sizes: Int64[Tensor, " steps"] = torch.bincount(offsets).cpu()
        continues = ((places % steps == 0) & ~resets[0][places // steps])[order]
        columns = (places // steps)[order]
        self.state = tuple(
            (tensor[columns] * continues.unsqueeze(1)).unsqueeze(0) for tensor in state
        )
        """The state before each run: that before the segment, or zeros after a reset."""

    def unpack(
        self, outputs: Float[Tensor, "places hidden"], *last: Float[Tensor, "1 runs hidden"]
    ) -> tuple[Float[Tensor, "time batch hidden"], State]:
        """Return the outputs and the last state of the columns from those of the runs."""
        in_columns = outputs[self._order.argsort()]
        state = tuple(tensor.squeeze(0)[self._last] for tensor in last)
        return in_columns.view(*self._shape, -1).transpose(0, 1), state
