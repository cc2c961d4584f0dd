"""Dynamic evaluation: score a stretch of text, then learn from it, and go on.

Krause, Kahembwe, Murray and Renals, "Dynamic evaluation of neural sequence models", 2018: steps
along the gradient, longer where training's gradients were small, with a pull back to the weights
that training has left. Every character is scored before anything is learnt from it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Int64, Integer
from torch import Tensor
from torch.nn import functional as F

from charlm.corpus.corpus import Part
from charlm.corpus.vocabulary import Ids
from charlm.kernels.loading import computing_in
from charlm.models.ensemble import AnyModel, Ensemble
from charlm.models.language_model import LanguageModel, detach
from charlm.models.ngrams import nats
from charlm.prediction.perplexity import Score
from charlm.prediction.scoring import score_of

_SEGMENT = 32
"""Characters that are scored before each step."""
_FLOOR = 0.01
"""Added to each root mean square gradient, as a share of their mean."""
_MIXTURE_RATE = 0.002
"""Of learning an ensemble's mixture."""
_BATCHES, _COLUMNS, _STEPS = 60, 8, 64
"""Of training text, for the mean squares of gradients."""
_TRIED_ON = 12_000
"""Characters on which rates are tried."""

_NO_CUDNN = torch.backends.cudnn.flags(enabled=False)
"""Its recurrent layers give gradients in training mode alone, where units are dropped."""


@dataclass(frozen=True)
class Rates:
    """How fast a network follows what it reads."""

    learning: float = 1e-4
    """η: a step is η g / (rms + floor)."""
    pull: float = 1e-3
    """λ: the share of the way back that each step takes, for a weight of the mean rms."""


_LEARNING, _PULLS = (4e-5, 7e-5, 1e-4, 2e-4, 4e-4), (3e-4, 1e-3, 3e-3)
"""Rates that are tried: each of the first, then, with the best of them, each of the second."""


class DynamicEvaluation:
    """Scores texts with a model that learns from them.

    The model is changed by it: what it holds after a text may be saved, and predicts texts of that
    kind better. `forget` gives its networks their trained weights back; what an ensemble has
    counted stays. `training_ids` is the text that the model was trained on.
    """

    def __init__(
        self,
        model: AnyModel,
        training_ids: Ids,
        rates: Rates | None = None,
        rates_text: Integer[np.ndarray, " other"] | None = None,
    ) -> None:
        """Without `rates`, those that do best on `rates_text` are used; do not score that text."""
        networks = model.members if isinstance(model, Ensemble) else [model]
        self.model = model
        self._followers = [_Follower(network, training_ids) for network in networks]
        if rates is None and rates_text is not None and len(rates_text) > 1:
            rates = self._best(rates_text)
        self.rates = rates or Rates()

    def _best(self, ids: Ids) -> Rates:
        @cache
        def nats_at(rates: Rates) -> float:
            first = self._followers[0]
            total = _total_nats(ids[:_TRIED_ON], [first], rates, _of_the_first)
            first.forget()
            return total if math.isfinite(total) else math.inf  # which is never the least

        best = min((Rates(learning=rate) for rate in _LEARNING), key=nats_at)
        return min((replace(best, pull=pull) for pull in _PULLS), key=nats_at)

    def score(self, part: Part) -> Score:
        """Score every character of a text but the first; raises `CorpusError` if there is none."""
        return score_of(part, lambda: self._total_nats(part.ids))

    def _total_nats(self, ids: Ids) -> float:
        mix = self._mixed(ids) if isinstance(self.model, Ensemble) else _of_the_first
        return _total_nats(ids, self._followers, self.rates, mix)

    def _mixed(self, ids: Ids) -> "Mixing":
        ensemble = self.model
        assert isinstance(ensemble, Ensemble)
        order = ensemble.ngrams.order
        padded = np.concatenate([np.full(order, -1), ids.astype(np.int64)])
        ensemble.ngrams.count(padded[: order + 1])  # the others are counted when they are scored
        ensemble.note_counted(ids)

        def mix(given: Float[Tensor, "time members vocabulary"], begin: int) -> np.ndarray:
            came = padded[begin + 1 : begin + 1 + order + len(given)]
            return ensemble.ngrams.mix(came, given.numpy(), ensemble.weights, _MIXTURE_RATE, True)

        return mix

    def forget(self) -> None:
        """Give the networks their trained weights back."""
        for follower in self._followers:
            follower.forget()


Mixing = Callable[[Tensor, int], np.ndarray]
"""Makes log-probabilities of what the networks say of a segment, from its first input on."""


def _of_the_first(given: Float[Tensor, "time members vocabulary"], begin: int) -> np.ndarray:
    return given[:, 0].numpy()


def _total_nats(ids: Ids, followers: list["_Follower"], rates: Rates, mix: Mixing) -> float:
    for follower in followers:
        follower.begin(rates)
    total = 0.0
    for begin in range(0, len(ids) - 1, _SEGMENT):
        segment = torch.from_numpy(ids[begin : begin + _SEGMENT + 1].astype(np.int64))
        given = [follower.read(segment[:-1]) for follower in followers]
        together = torch.stack([said.detach() for said in given], dim=1)
        total += nats(mix(together, begin), segment[1:].numpy())
        for follower, said in zip(followers, given, strict=True):
            follower.learn(said, segment[1:])
    return total


class _Follower:
    """A network, what it was, and how far each of its weights may go."""

    def __init__(self, model: LanguageModel, training_ids: Ids) -> None:
        self.model = model.eval()
        self._parameters: list[Tensor] = list(model.parameters())
        self._trained = [parameter.detach().clone() for parameter in self._parameters]
        self._rms = [square.sqrt() for square in mean_square_gradients(model, training_ids)]

    def begin(self, rates: Rates) -> None:
        """Begin a text."""
        self._state = self.model.initial_state(1)
        mean = torch.cat([rms.flatten() for rms in self._rms]).mean()
        self._steps = [rates.learning / (rms + _FLOOR * mean) for rms in self._rms]
        self._pulls = [(rates.pull * rms / mean).clamp(max=1) for rms in self._rms]

    @_NO_CUDNN
    def read(self, ids: Int64[Tensor, " time"]) -> Float[Tensor, "time vocabulary"]:
        """Return the log-probabilities of what comes after each id."""
        with computing_in("float32"):
            inputs = ids.unsqueeze(1).to(self.model.device)
            logits, self._state = self.model.forward(inputs, detach(self._state))
        return logits[:, 0].log_softmax(dim=1).cpu()

    def learn(
        self, said: Float[Tensor, "time vocabulary"], targets: Int64[Tensor, " time"]
    ) -> None:
        """Take a step towards what came, and a little back to what training has left."""
        gradients = list(torch.autograd.grad(F.nll_loss(said, targets), self._parameters))
        with torch.no_grad():
            torch._foreach_mul_(gradients, self._steps)
            torch._foreach_sub_(self._parameters, gradients)
            for parameter, trained, pull in zip(
                self._parameters, self._trained, self._pulls, strict=True
            ):
                parameter.lerp_(trained, pull)

    def forget(self) -> None:
        with torch.no_grad():
            torch._foreach_copy_(self._parameters, self._trained)


@_NO_CUDNN
def mean_square_gradients(model: LanguageModel, ids: Ids) -> list[Tensor]:
    """Return the mean square of each parameter's gradient over batches of a text."""
    random = np.random.default_rng(0)
    parameters = list(model.parameters())
    squares = [torch.zeros_like(parameter) for parameter in parameters]
    steps = min(_STEPS, len(ids) - 1)
    for _ in range(_BATCHES):
        starts = random.integers(len(ids) - steps, size=_COLUMNS)
        windows = np.stack([ids[start : start + steps + 1] for start in starts], axis=1)
        batch = torch.from_numpy(windows.astype(np.int64)).to(model.device)
        logits, _ = model(batch[:-1], model.initial_state(_COLUMNS))
        loss = F.cross_entropy(logits.flatten(0, 1), batch[1:].flatten())
        gradients = torch.autograd.grad(loss, parameters)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 / _BATCHES)
    return squares
