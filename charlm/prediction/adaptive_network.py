"""A network that learns while it reads: the steps of dynamic evaluation.

Krause, Kahembwe, Murray and Renals, "Dynamic evaluation of neural sequence models", 2018. A step
follows the gradient, further where the gradients of the training text are small, and then pulls
the weights back towards their trained values. Unlike in the paper, steps are limited, so that a
network does not diverge on text that it predicts badly.
"""

import math

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from charlm.corpus.vocabulary import Ids
from charlm.kernels.loading import computing_in
from charlm.kernels.threads import only_kernels_share
from charlm.models.language_model import LanguageModel
from charlm.models.states import detach

_RMS_FLOOR = 0.01
"""Amount added to each root mean square (rms) gradient, as a fraction of the mean rms."""
_MAX_DECREASE = 2.0
"""Upper bound of the decrease of the loss that a step predicts to first order, as a multiple of it.

Longer steps are scaled down. Loizou, Vaswani, Laradji and Lacoste-Julien, "Stochastic Polyak
step-size for SGD", 2021: their c is ½. A parabola with the minimum 0 is exactly there after a step.
"""
_NUM_BATCHES, _NUM_COLUMNS, _NUM_STEPS = 60, 8, 64
"""Batches of training text, with their columns and time steps, for the mean square gradients."""

_NO_CUDNN = torch.backends.cudnn.flags(enabled=False)
"""cuDNN's recurrent layers give gradients only in training mode, which applies dropout."""


class AdaptiveNetwork:
    """A network with its trained weights, and the step size and pull of each weight."""

    def __init__(self, model: LanguageModel, training_ids: Ids) -> None:
        self.model = model.eval()
        self._parameters: list[Tensor] = list(model.parameters())
        self._trained = [parameter.detach().clone() for parameter in self._parameters]
        self._rms = [square.sqrt() for square in mean_square_gradients(model, training_ids)]

    def begin(self, learning: float, pull: float) -> None:
        """Start a text from the initial state, with these rates (see `dynamic.Rates`)."""
        self._state = self.model.initial_state(1)
        with only_kernels_share(self.model.is_compiled()):
            mean = torch.cat([rms.flatten() for rms in self._rms]).mean().clamp(min=1e-12)
        self._steps = [learning / (rms + _RMS_FLOOR * mean) for rms in self._rms]
        self._pulls = [(pull * rms / mean).clamp(max=1) for rms in self._rms]

    @_NO_CUDNN
    def read(self, ids: Int64[Tensor, " time"]) -> Float[Tensor, "time vocabulary"]:
        """Return the log-probabilities of the character after each id."""
        with computing_in("float32"):
            inputs = ids.unsqueeze(1).to(self.model.device)
            logits, self._state = self.model.forward(inputs, detach(self._state))
        return logits[:, 0].log_softmax(dim=1).cpu()

    def learn(
        self,
        prediction: Float[Tensor, "time vocabulary"],
        errors: Float[Tensor, "time vocabulary"],
        loss: float,
    ) -> None:
        """Take a step against the errors, then pull the weights towards their trained values.

        `errors` are what the mixture expected minus what came, the gradient of its loss, in nats
        per character, with respect to its logits. A network's own would also teach it what n-grams
        or other networks already know. Does nothing if the gradient is 0 or not finite, or the loss
        is not.
        """
        with only_kernels_share(self.model.is_compiled()):
            gradients = torch.autograd.grad(prediction, self._parameters, errors)
            pairs = zip(gradients, self._steps, strict=True)
            decrease = sum(float((gradient.square() * step).sum()) for gradient, step in pairs)
        if not (decrease > 0 and math.isfinite(decrease) and math.isfinite(loss)):
            return
        factor = min(1.0, _MAX_DECREASE * loss / decrease)
        with torch.no_grad():
            for parameter, gradient, step, trained, pull in zip(
                self._parameters, gradients, self._steps, self._trained, self._pulls, strict=True
            ):
                parameter.sub_(gradient.mul_(step), alpha=factor).lerp_(trained, pull)

    def reset(self) -> None:
        """Restore the trained weights."""
        with torch.no_grad():
            for parameter, trained in zip(self._parameters, self._trained, strict=True):
                parameter.copy_(trained)


@_NO_CUDNN
def mean_square_gradients(model: LanguageModel, ids: Ids) -> list[Tensor]:
    """Return the mean square of each parameter's gradient over batches of a text."""
    random = np.random.default_rng(0)
    parameters = list(model.parameters())
    squares = [torch.zeros_like(parameter) for parameter in parameters]
    steps = min(_NUM_STEPS, len(ids) - 1)
    for _ in range(_NUM_BATCHES):
        starts = random.integers(len(ids) - steps, size=_NUM_COLUMNS)
        windows = np.stack([ids[start : start + steps + 1] for start in starts], axis=1)
        batch = torch.from_numpy(windows.astype(np.int64)).to(model.device)
        with only_kernels_share(model.is_compiled()):
            logits, _ = model(batch[:-1], model.initial_state(_NUM_COLUMNS))
            loss = F.cross_entropy(logits.flatten(0, 1), batch[1:].flatten())
            gradients = torch.autograd.grad(loss, parameters)
        for square, gradient in zip(squares, gradients, strict=True):
            square.addcmul_(gradient, gradient, value=1 / _NUM_BATCHES)
    return squares
