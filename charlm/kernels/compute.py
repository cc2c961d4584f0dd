"""What computes a run: the precision and the threads that charlm decides at its start."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from charlm.kernels.loading import Precision


@dataclass(frozen=True)
class Compute:
    """Precision and threads of a run; its checkpoints record them, and a resumed run keeps them."""

    precision: Precision = "float32"
    """Of the operands of large products."""
    threads: Annotated[int, Field(ge=1)] = 1
    """The most threads that the run uses on a CPU."""
