"""Dynamic evaluation: score each segment of a text, then train on it.

Krause, Kahembwe, Murray and Renals, "Dynamic evaluation of neural sequence models", 2018. The
networks of an ensemble learn from the errors of the mixture (see `adaptive_network`). Predictions
of nearest neighbours are mixed in last (see `neighbors`). Every character is scored before the
model learns from it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Integer
from torch import Tensor
from torch.nn import functional as F

from charlm.corpus.corpus import Split
from charlm.corpus.vocabulary import Ids
from charlm.models.ensemble import AnyModel, Ensemble
from charlm.prediction.adaptive_network import AdaptiveNetwork
from charlm.prediction.neighbors import NearestNeighbors
from charlm.prediction.perplexity import Score
from charlm.prediction.scoring import score_of

_SEGMENT_CHARACTERS = 32
"""Number of characters that are scored before each step."""
_MIXTURE_RATE = 0.0015
"""Learning rate of an ensemble's mixture weights."""
_TIMES_COUNTED = 3
"""How often each segment is counted: what came recently is likelier to come again."""
_TRIAL_CHARACTERS = 15_000
"""Number of characters on which rates are compared."""


@dataclass(frozen=True)
class Rates:
    """How fast a network adapts to the text that it reads."""

    learning: float = 1e-4
    """η: a step is η g / (rms + floor)."""
    pull: float = 1e-3
    """λ: how far a step pulls a weight of the mean rms back: 1 is to its trained value."""


_LEARNING_RATES = (4e-5, 7e-5, 1e-4, 1.4e-4, 2e-4, 4e-4)
"""Learning rates to compare."""


class DynamicEvaluation:
    """Scores texts with a model that learns from them.

    This changes the model. After a text it predicts similar texts better, and it can be saved.
    `reset` restores the trained weights of its networks, but neither the counts nor the mixture
    weights of an ensemble, which counts each segment several times, and only once if it is saved.
    Nearest neighbours are not saved: they are found again in the training text alone.
    `training_ids` is the text that the model was trained on.
    """

    def __init__(
        self,
        model: AnyModel,
        training_ids: Ids,
        rates: Rates | None = None,
        rates_text: Integer[np.ndarray, " other"] | None = None,
    ) -> None:
        """Without `rates`, use those with the lowest loss on `rates_text`, a text not to score.

        They are compared with the whole model, but without neighbours; its n-grams do not count
        that text meanwhile, and all forget it.
        """
        members = model.members if isinstance(model, Ensemble) else [model]
        self.model = model
        self._networks = [AdaptiveNetwork(member, training_ids) for member in members]
        self._neighbors = NearestNeighbors(members[-1], training_ids)  # of the student, if any
        if rates is None and rates_text is not None and len(rates_text) > 1:
            rates = self._best_rates(rates_text)
        self.rates = rates or Rates()

    def _best_rates(self, ids: Ids) -> Rates:
        trial = ids[:_TRIAL_CHARACTERS]

        def nats_at(rates: Rates) -> float:
            mix = self._make_mix(trial, learns=False)
            total = float(_nats_of_each(trial, self._networks, rates, mix).sum())
            self._reset_networks()
            return total if math.isfinite(total) else math.inf  # never the lowest

        return min(map(Rates, _LEARNING_RATES), key=nats_at)

    def score(self, split: Split) -> Score:
        """Score every character of a text but the first; raises `CorpusError` if there is none."""
        return score_of(split, lambda: math.fsum(self.nats_of_each(split.ids).tolist()))

    def nats_of_each(self, ids: Ids) -> Float64[np.ndarray, " predictions"]:
        """Return −ln p of every id but the first; the model learns from each after scoring it."""
        mix = self._make_mix(ids)
        return _nats_of_each(ids, self._networks, self.rates, mix, self._neighbors)

    def _make_mix(self, ids: Ids, *, learns: bool = True) -> "Mix":
        """Return the function that mixes the networks with the n-grams.

        If it `learns`, the mixture weights of the model change, and it counts each segment after
        scoring it.
        """
        ensemble = self.model
        if not isinstance(ensemble, Ensemble):
            return _only_network
        window = ensemble.ngrams.window
        weights = ensemble.weights if learns else ensemble.weights.copy()
        padded = np.concatenate([np.full(window, -1), ids.astype(np.int64)])
        if learns:
            ensemble.ngrams.count(padded[: window + 1])  # `mix` counts what it has scored
            ensemble.note_counted(ids)

        def mix(predictions: Float[Tensor, "time members vocabulary"], begin: int) -> np.ndarray:
            segment = padded[begin + 1 : begin + 1 + window + len(predictions)]
            members = predictions.numpy()
            mixed = ensemble.ngrams.mix(segment, members, weights, _MIXTURE_RATE, learns)
            if learns:
                for _ in range(_TIMES_COUNTED - 1):
                    ensemble.ngrams.count(segment)
            return mixed

        return mix

    def reset(self) -> None:
        """Restore the trained weights of the networks; scored texts have no neighbours any more."""
        self._reset_networks()
        self._neighbors.forget()

    def _reset_networks(self) -> None:
        for network in self._networks:
            network.reset()


Mix = Callable[[Tensor, int], np.ndarray]
"""Mixes the networks' predictions of a segment, which begins at a position in the text."""


def _only_network(predictions: Float[Tensor, "time members vocabulary"], begin: int) -> np.ndarray:
    return predictions[:, 0].numpy()


def _nats_of_each(
    ids: Ids,
    networks: list[AdaptiveNetwork],
    rates: Rates,
    mix: Mix,
    neighbors: NearestNeighbors | None = None,
) -> Float64[np.ndarray, " predictions"]:
    for network in networks:
        network.begin(rates.learning, rates.pull)
    if neighbors is not None:
        neighbors.begin(ids)
    nats = np.empty(max(0, len(ids) - 1), np.float64)
    for begin in range(0, len(ids) - 1, _SEGMENT_CHARACTERS):
        segment = torch.from_numpy(ids[begin : begin + _SEGMENT_CHARACTERS + 1].astype(np.int64))
        inputs, targets = segment[:-1], segment[1:]
        predictions = [network.read(inputs) for network in networks]
        stacked = torch.stack([prediction.detach() for prediction in predictions], dim=1)
        mixed = torch.from_numpy(mix(stacked, begin))
        scored = mixed if neighbors is None else neighbors.mix(mixed, begin)
        nats[begin : begin + len(targets)] = F.nll_loss(scored, targets, reduction="none")
        errors = (mixed.exp() - F.one_hot(targets, mixed.shape[1])) / len(targets)
        loss = float(F.nll_loss(mixed, targets))
        for network, prediction in zip(networks, predictions, strict=True):
            network.learn(prediction, errors, loss)
    return nats
