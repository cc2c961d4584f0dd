"""Choose the next character from logits: greedily, or at random after temperature and filters."""

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from charlm.config.schema import GenerationConfig
from charlm.errors import DivergenceError

Logits = Float[Tensor, "batch vocabulary"]


def choose(
    logits: Logits, config: GenerationConfig, uniforms: Float64[Tensor, " batch"]
) -> Int64[Tensor, " batch"]:
    """Choose the next id of each row: the likeliest, or one drawn after temperature and filters.

    Drawing inverts the cumulative distribution, with probabilities in the order of ids, at the
    row's number, which is uniform in [0, 1). Raises `DivergenceError` if the logits of a row give
    no distribution: an entry is NaN, or the highest is infinite.
    """
    if not logits.amax(dim=1).isfinite().all():  # `amax` returns NaN if any entry is NaN
        raise output_not_finite()
    if config.greedy or config.temperature == 0:
        return logits.argmax(dim=1)
    # On the CPU, so that a seed gives one text on any device; in double precision with the largest
    # logit at 0, so that no temperature, however small, overflows.
    device, logits = logits.device, logits.cpu().double()
    logits = (logits - logits.amax(dim=1, keepdim=True)) / config.temperature
    if config.top_k is not None:
        logits = keep_top_k(logits, config.top_k)
    if config.top_p < 1:
        logits = keep_top_p(logits, config.top_p)
    if config.min_p > 0:
        logits = keep_min_p(logits, config.min_p)
    cumulative = logits.softmax(dim=1).cumsum(dim=1)
    highest = cumulative[:, -1:].nextafter(torch.zeros(1, dtype=torch.float64))
    places = torch.minimum(uniforms.unsqueeze(1) * cumulative[:, -1:], highest)
    return torch.searchsorted(cumulative, places, right=True).squeeze(1).to(device)


def keep_top_k(logits: Logits, k: int) -> Logits:
    """Exclude all but the k likeliest ids of each row (Fan and others, 2018)."""
    lowest = logits.topk(min(k, logits.shape[1]), dim=1).values[:, -1:]
    return logits.masked_fill(logits < lowest, -torch.inf)


def keep_top_p(logits: Logits, p: float) -> Logits:
    """Exclude all but the likeliest ids that together have probability p (Holtzman et al., 2020).

    The likeliest is always kept.
    """
    ordered, order = logits.softmax(dim=1).sort(dim=1, descending=True)
    likelier = ordered.cumsum(dim=1) - ordered
    excluded = torch.zeros_like(logits, dtype=torch.bool).scatter(1, order, likelier >= p)
    return logits.masked_fill(excluded, -torch.inf)


def keep_min_p(logits: Logits, fraction: float) -> Logits:
    """Exclude ids less likely than `fraction` of the likeliest (Nguyen and others, 2024)."""
    probabilities = logits.softmax(dim=1)
    least = fraction * probabilities.amax(dim=1, keepdim=True)
    return logits.masked_fill(probabilities < least, -torch.inf)


def output_not_finite() -> DivergenceError:
    """Return the error for logits from which nothing can be chosen."""
    return DivergenceError(
        "the model's output is not finite; use another checkpoint, or train at a lower "
        "training.learning_rate"
    )
