"""The precision and the threads of a run, which charlm decides at its start."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from charlm.kernels.loading import Precision


@dataclass(frozen=True)
class Compute:
    """Precision and threads of a run; its checkpoints record them, and a resumed run keeps them."""

    precision: Precision = "float32"
    """Precision of the operands of large products."""
    threads: Annotated[int, Field(ge=1)] = 1
    """Maximum number of threads on a CPU."""
