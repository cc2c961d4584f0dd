"""Extension of the weights of an initial model to the new characters of a text.

The known characters keep their weights. At first, the new ones are about as probable as they are
frequent in the text.
"""

import math
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from charlm.corpus.vocabulary import Vocabulary
from charlm.distributed.processes import Processes
from charlm.kernels.loading import computing_in
from charlm.models.language_model import LanguageModel

_STEPS_AT_ONCE = 16
"""Time steps of the passages whose logits are in memory at once."""
_BISECTION_STEPS = 60
"""Enough steps to exhaust the precision of the bias."""
_MAX_LOG_ODDS = 1e3
"""Larger log-odds, of weights that are nearly infinite, would need more steps and huge biases."""


def load_extended(
    model: LanguageModel,
    weights: Mapping[str, Tensor],
    old: Vocabulary,
    new: Vocabulary,
    frequencies: Float[Tensor, " vocabulary"],
    passages: Int64[Tensor, "time passages"],
    processes: Processes,
) -> None:
    """Load weights for the vocabulary `old` into an initialised model for `new`.

    `new` contains all characters of `old`. To the weights of the other characters in the model, the
    mean weights of the known ones are added. The biases of the other characters are set so that
    their total probability is the sum of their frequencies, on average over passages of the text.
    The relative probabilities of the known characters do not change.
    """
    places = _places(old, new)
    model.load_state_dict(_extended(weights, model.state_dict(), places))
    added = np.setdiff1d(np.arange(len(new)), places.numpy())
    if not len(added):
        return
    is_added = torch.zeros(len(new), dtype=torch.bool)
    is_added[added] = True
    biases = frequencies[is_added].log()
    with torch.no_grad():
        model.b_q[is_added] = biases.to(model.device)
        share = frequencies[is_added].sum(dtype=torch.float64).item()
        shift = processes.run_on_first(lambda: _shift(_log_odds(model, is_added, passages), share))
        model.b_q[is_added] += shift


def _places(old: Vocabulary, new: Vocabulary) -> Int64[Tensor, " old"]:
    """Return the id in `new` of each id of `old`."""
    places = new.encode(np.asarray(old.symbols, np.uint32)).astype(np.int64)
    if old.unknown_id is not None:
        places = np.insert(places, 0, 0)
    return torch.from_numpy(places)


def _extended(
    weights: Mapping[str, Tensor], fresh: Mapping[str, Tensor], places: Int64[Tensor, " old"]
) -> dict[str, Tensor]:
    """Return weights for a larger vocabulary: `fresh` ones, with the given ones at their `places`.

    The mean of the known characters' weights is added to those of the new ones, so that these
    differ from the known ones no more than the known ones do from each other (Hewitt,
    "Initializing new word embeddings for pretrained language models", 2021).
    """
    result = {}
    for name, tensor in weights.items():
        target = fresh[name].cpu().clone()
        axes = [axis for axis, size in enumerate(tensor.shape) if size != target.shape[axis]]
        if not axes:  # it does not depend on the vocabulary, or there are no new characters
            result[name] = tensor
            continue
        (axis,) = axes
        target += tensor.mean(axis, keepdim=True)
        result[name] = target.index_copy(axis, places, tensor)
    return result


def _log_odds(
    model: LanguageModel, is_added: Tensor, passages: Int64[Tensor, "time passages"]
) -> Float[Tensor, " predictions"]:
    """Return the log-odds that an added character follows, for each character of the passages."""
    passages, is_added = passages.to(model.device), is_added.to(model.device)
    state = model.eval().initial_state(passages.shape[1])
    odds = []
    with torch.no_grad(), computing_in("float32"):
        for inputs in torch.split(passages, _STEPS_AT_ONCE):
            logits, state = model(inputs, state)
            logits = logits.flatten(0, 1)
            odds.append(logits[:, is_added].logsumexp(1) - logits[:, ~is_added].logsumexp(1))
    log_odds = torch.cat(odds).cpu().double()
    return log_odds[log_odds.isfinite()]


def _shift(log_odds: Float[Tensor, " predictions"], share: float) -> float:
    """Return what to add to log-odds so that the mean of their probabilities is `share`."""
    if not len(log_odds):
        return 0.0
    log_odds = log_odds.clamp(-_MAX_LOG_ODDS, _MAX_LOG_ODDS)
    logit = math.log(share / (1 - share))
    low, high = logit - log_odds.max().item(), logit - log_odds.min().item()
    for _ in range(_BISECTION_STEPS):
        middle = (low + high) / 2
        if (log_odds + middle).sigmoid().mean() < share:
            low = middle
        else:
            high = middle
    return high
