"""Draw text from a model: pure filters on logits, sampling, and a stream of characters."""

import codecs
from collections.abc import Iterator, Sequence
from typing import AnyStr

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from charlm.config.schema import GenerationConfig
from charlm.corpus.vocabulary import Ids, Vocabulary
from charlm.errors import DivergenceError
from charlm.kernels.loading import computing_in
from charlm.models.ensemble import AnyModel
from charlm.models.language_model import LanguageModel, ModelState
from charlm.models.openings import Opening
from charlm.prediction.compiled_generation import Writer, can_write

_PIECE = 1 << 10
_STRIDE = 0x9E3779B97F4A7C15
"""Difference between the seeds of consecutive samples."""
_STRETCH = 32
"""Characters that the kernels write at a time: few enough to come as a stream."""
Logits = Float[Tensor, "batch vocabulary"]


def keep_top_k(logits: Logits, k: int) -> Logits:
    """Forbid all but the k likeliest ids of each row (Fan and others, 2018)."""
    lowest = logits.topk(min(k, logits.shape[1]), dim=1).values[:, -1:]
    return logits.masked_fill(logits < lowest, -torch.inf)


def keep_top_p(logits: Logits, p: float) -> Logits:
    """Forbid all but the likeliest ids that together have probability p (Holtzman et al., 2020).

    The likeliest is always kept.
    """
    ordered, order = logits.softmax(dim=1).sort(dim=1, descending=True)
    likelier = ordered.cumsum(dim=1) - ordered
    forbidden = torch.zeros_like(logits, dtype=torch.bool).scatter(1, order, likelier >= p)
    return logits.masked_fill(forbidden, -torch.inf)


def keep_min_p(logits: Logits, fraction: float) -> Logits:
    """Forbid ids less likely than `fraction` of the likeliest (Nguyen and others, 2024)."""
    probabilities = logits.softmax(dim=1)
    least = fraction * probabilities.amax(dim=1, keepdim=True)
    return logits.masked_fill(probabilities < least, -torch.inf)


def choose(
    logits: Logits, config: GenerationConfig, uniforms: Float64[Tensor, " batch"]
) -> Int64[Tensor, " batch"]:
    """Choose the next id of each row: the likeliest, or one drawn after temperature and filters.

    A row's number, uniform in [0, 1), falls within the share of one id when the probabilities lie
    side by side in the order of ids. Raises `DivergenceError` if the logits of a row give no
    distribution: an entry is NaN, or the highest is infinite.
    """
    if not logits.amax(dim=1).isfinite().all():  # `amax` returns NaN if any entry is NaN
        raise _not_finite()
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
    reached = logits.softmax(dim=1).cumsum(dim=1)
    highest = reached[:, -1:].nextafter(torch.zeros(1, dtype=torch.float64))
    places = torch.minimum(uniforms.unsqueeze(1) * reached[:, -1:], highest)
    return torch.searchsorted(reached, places, right=True).squeeze(1).to(device)


def _not_finite() -> DivergenceError:
    return DivergenceError(
        "the model's output is not finite; use another checkpoint, or train at a lower "
        "training.learning_rate"
    )


def generate_ids(
    model: AnyModel,
    opening: Opening,
    config: GenerationConfig,
    generators: Sequence[torch.Generator],
    forbidden: int | None = None,
) -> Iterator[Int64[Tensor, " batch"]]:
    """Yield `config.length` times the next id of each sample, in float32.

    Each sample has its own generator. `opening` has a column for each sample, or one column for
    all. All its ids condition the state. `forbidden` (the unknown symbol) is never chosen.
    """
    model.eval()
    logits, state = _read_opening(model, opening, len(generators))

    def uniforms(steps: int) -> Float64[Tensor, "steps samples"]:
        own = [torch.rand(steps, dtype=torch.float64, generator=g) for g in generators]
        return torch.stack(own, dim=1)

    if isinstance(model, LanguageModel) and can_write(model):
        writer = Writer(model, logits, state, config, forbidden, "float32")
        for start in range(0, config.length, _STRETCH):
            drawn = writer.write(uniforms(min(_STRETCH, config.length - start)))
            finite = (drawn >= 0).all(dim=1)  # once for all: a check a character costs a fifth
            if not finite.all():
                yield from drawn[: int(finite.long().argmin())]
                raise _not_finite()
            yield from drawn
        return
    for _ in range(config.length):
        if forbidden is not None:
            logits[:, forbidden] = -torch.inf
        ids = choose(logits, config, uniforms(1)[0])
        yield ids
        logits, state = _read(model, ids.unsqueeze(0), state)


@torch.no_grad()  # here, and not around a generator, which would hold it between two ids
def _read(
    model: AnyModel, inputs: Int64[Tensor, "time batch"], state: ModelState
) -> tuple[Float[Tensor, "batch vocabulary"], ModelState]:
    """Read on; return the logits of what comes after all of it, and the new state."""
    with computing_in("float32"):
        logits, state = model(inputs, state)
    return logits[-1], state


def _read_opening(
    model: AnyModel, opening: Opening, num_samples: int
) -> tuple[Float[Tensor, "batch vocabulary"], ModelState]:
    state = opening.state
    for piece in torch.split(opening.ids, _PIECE):  # all logits together would not fit in memory
        logits, state = _read(model, piece, state)
    repeated = tuple(tuple(t.expand(num_samples, -1) for t in layer_state) for layer_state in state)
    return logits.expand(num_samples, -1).clone(), repeated


def own_generators(seed: int, num_samples: int) -> list[torch.Generator]:
    """Return a generator for each sample that depends only on the seed and the sample's number.

    The first one has the seed itself. The stride is odd, so that the low 32 bits, which are all
    that a generator uses, differ between samples.
    """
    seeds = ((seed + number * _STRIDE) % 2**63 for number in range(num_samples))
    return [torch.Generator().manual_seed(own) for own in seeds]


def first_ids(vocabulary: Vocabulary) -> Ids:
    """Return what a text without a prefix is taken to follow: a line end, or a space, or any id."""
    for character in "\n ":
        ids = vocabulary.encode_text(character, unknown="skip")
        if len(ids):
            return ids
    return vocabulary.encode(vocabulary.symbols_of(chr(vocabulary.symbols[0])))


class StreamDecoder:
    """Turns ids into text as they come; bytes wait until they make a whole character."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace")

    def decode(self, ids: Sequence[int], final: bool = False) -> str:
        if self._vocabulary.unit == "byte":
            return self._bytes.decode(bytes(ids), final)
        return self._vocabulary.decode(ids)


def until(pieces: Iterator[AnyStr], stop: AnyStr) -> Iterator[AnyStr]:
    """Yield text or bytes up to the first `stop`; delay pieces that may be its beginning."""
    held = stop[:0]
    for piece in pieces:
        held += piece
        before, found, _ = held.partition(stop)
        if found:
            yield before
            return
        most = min(len(held), len(stop) - 1)
        keep = next((n for n in range(most, 0, -1) if held.endswith(stop[:n])), 0)
        if len(held) > keep:
            yield held[: len(held) - keep]
            held = held[len(held) - keep :]
    if held:
        yield held
