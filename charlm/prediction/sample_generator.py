"""What generators of samples have in common: in the kernels, and step by step."""

from abc import ABC, abstractmethod

from jaxtyping import Float, Float64, Int64
from torch import Tensor

from charlm.models.states import AnyState


class SampleGenerator(ABC):
    """Samples that are generated side by side, and their state after the last characters."""

    logits: Float[Tensor, "samples vocabulary"]
    """Of the next character of each sample."""

    @abstractmethod
    def generate(
        self, uniforms: Float64[Tensor, "steps samples"]
    ) -> Int64[Tensor, "steps samples"]:
        """Choose characters by random numbers from [0, 1), and read them; return their ids.

        If a sample's logits are not finite, its id and all later ones are −1, or `DivergenceError`
        is raised.
        """

    @abstractmethod
    def restart(
        self,
        columns: Int64[Tensor, " columns"],
        logits: Float[Tensor, "columns vocabulary"],
        state: AnyState,
    ) -> None:
        """Give some samples the logits of other characters, and the state before these are read."""

    @abstractmethod
    def state(self, columns: Int64[Tensor, " columns"]) -> AnyState:
        """Return the state of some samples: with their `logits`, a generator continues from it."""
