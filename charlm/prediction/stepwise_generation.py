"""Generation without the kernels: choose a character, let the model read it, and repeat."""

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from charlm.config.schema import GenerationConfig
from charlm.kernels.loading import computing_in
from charlm.models.ensemble import AnyModel
from charlm.models.states import AnyState, ModelState
from charlm.prediction.next_character import choose
from charlm.prediction.sample_generator import SampleGenerator


class StepwiseGenerator(SampleGenerator):
    """Samples of any model, a character at a time."""

    def __init__(
        self,
        model: AnyModel,
        logits: Float[Tensor, "samples vocabulary"],
        state: ModelState,
        config: GenerationConfig,
        forbidden: int | None,
    ) -> None:
        """Start with the `logits` of the first characters and the `state` before these are read."""
        self._model, self._config, self._forbidden = model, config, forbidden
        self.logits = logits.clone()
        self._state = tuple(tuple(map(torch.clone, layer_state)) for layer_state in state)

    def generate(
        self, uniforms: Float64[Tensor, "steps samples"]
    ) -> Int64[Tensor, "steps samples"]:
        steps = []
        for numbers in uniforms:
            if self._forbidden is not None:
                self.logits[:, self._forbidden] = -torch.inf
            steps.append(choose(self.logits, self._config, numbers))
            self.logits, self._state = read(self._model, steps[-1].unsqueeze(0), self._state)
        return torch.stack(steps)

    def restart(
        self,
        columns: Int64[Tensor, " columns"],
        logits: Float[Tensor, "columns vocabulary"],
        state: AnyState,
    ) -> None:
        self.logits[columns] = logits
        for layer, layer_state in zip(self._state, state, strict=True):
            for tensor, other in zip(layer, layer_state, strict=True):
                tensor[columns] = other

    def state(self, columns: Int64[Tensor, " columns"]) -> AnyState:
        return tuple(tuple(tensor[columns] for tensor in layer) for layer in self._state)


@torch.no_grad()  # not around a generator, which would keep it active between two ids
def read(
    model: AnyModel, inputs: Int64[Tensor, "time batch"], state: ModelState
) -> tuple[Float[Tensor, "batch vocabulary"], ModelState]:
    """Read characters; return the logits of the one after them, and the new state."""
    with computing_in("float32"):
        logits, state = model(inputs, state)
    return logits[-1], state
