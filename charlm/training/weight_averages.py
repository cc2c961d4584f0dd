"""Averages of the weights over the steps of training: they predict better than the last weights.

Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992.
"""

from collections.abc import Mapping

from torch import Tensor

from charlm.models.language_model import LanguageModel


class WeightAverages:
    """Averages ā of a model's weights w: after each step, ā ← d ā + (1 − d) w.

    d is `decay`, but at most (1 + t) / (10 + t) after t earlier steps, so that the first weights
    soon stop counting. A `decay` of 0 means no averages: the model predicts with its last weights.
    """

    def __init__(self, model: LanguageModel, decay: float) -> None:
        self._model = model
        self._decay = decay
        self._averages: list[Tensor] = []
        """In the order of the parameters; empty before the first step and without averaging."""

    def update(self, num_steps: int) -> None:
        """Update the averages after a step; `num_steps` steps were taken before it."""
        if not self._decay:
            return
        weights = [parameter.detach() for parameter in self._model.parameters()]
        if not self._averages:
            self._averages = [weight.clone() for weight in weights]
            return
        decay = min(self._decay, (1 + num_steps) / (10 + num_steps))
        for average, weight in zip(self._averages, weights, strict=True):
            average.lerp_(weight, 1 - decay)

    def weights(self) -> dict[str, Tensor]:
        """Return the weights to predict with: the averages, or the model's without averaging."""
        if self._averages:
            names = [name for name, _ in self._model.named_parameters()]
            return dict(zip(names, self._averages, strict=True))
        return self._model.tensors()

    def weights_in_training(self) -> dict[str, Tensor]:
        """Return the model's weights, or nothing if they are also the weights to predict with."""
        return self._model.tensors() if self._averages else {}

    def load(self, weights_in_training: Mapping[str, Tensor]) -> None:
        """Load a value of `weights_in_training`; the model has the `weights()` of that time."""
        self._averages = []
        if weights_in_training:
            self._averages = [parameter.detach().clone() for parameter in self._model.parameters()]
            self._model.load_state_dict(weights_in_training)
