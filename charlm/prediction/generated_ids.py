"""Generate ids: read the opening, then choose and read one character after another."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from charlm.config.schema import GenerationConfig
from charlm.models.ensemble import AnyModel
from charlm.models.openings import Opening
from charlm.models.states import ModelState
from charlm.prediction.compiled_generation import CompiledGenerator, is_supported
from charlm.prediction.next_character import output_not_finite
from charlm.prediction.sample_generator import SampleGenerator
from charlm.prediction.stepwise_generation import StepwiseGenerator, read

_PREFIX_PIECE = 1 << 10
"""Number of characters of a prefix that are read at once."""
_COMPILED_PIECE = 32
"""Number of characters that the kernels generate at once: few enough for a steady stream."""
_SEED_STRIDE = 0x9E3779B97F4A7C15
"""Difference between the seeds of consecutive samples."""


def sample_generators(seed: int, num_samples: int) -> list[torch.Generator]:
    """Return a random generator for each sample: it depends on the seed and the sample's number.

    The first one has the seed itself. The stride is odd, so that the low 32 bits, which are all
    that a generator uses, differ between samples.
    """
    seeds = ((seed + number * _SEED_STRIDE) % 2**63 for number in range(num_samples))
    return [torch.Generator().manual_seed(sample_seed) for sample_seed in seeds]


def generate_ids(
    model: AnyModel,
    opening: Opening,
    config: GenerationConfig,
    generators: Sequence[torch.Generator],
    forbidden: int | None = None,
) -> Iterator[Int64[Tensor, " batch"]]:
    """Yield `config.length` times the next id of each sample, computed in float32.

    Each sample has its own generator. `opening` has a column for each sample, or one column for
    all. `forbidden` (the unknown symbol) is never chosen.
    """
    model.eval()
    logits, state = read_opening(model, opening)
    samples = len(generators)
    logits = logits.expand(samples, -1)
    state = tuple(tuple(t.expand(samples, -1) for t in layer_state) for layer_state in state)

    def uniforms(steps: int) -> Float64[Tensor, "steps samples"]:
        columns = [torch.rand(steps, dtype=torch.float64, generator=g) for g in generators]
        return torch.stack(columns, dim=1)

    generator = make_generator(model, logits, state, config, forbidden)
    piece = _COMPILED_PIECE if isinstance(generator, CompiledGenerator) else 1
    for start in range(0, config.length, piece):
        ids = generator.generate(uniforms(min(piece, config.length - start)))
        is_finite = (ids >= 0).all(dim=1)  # once per piece: once per character costs a fifth
        if not is_finite.all():
            yield from ids[: int(is_finite.long().argmin())]
            raise output_not_finite()
        yield from ids


def make_generator(
    model: AnyModel,
    logits: Float[Tensor, "samples vocabulary"],
    state: ModelState,
    config: GenerationConfig,
    forbidden: int | None,
) -> SampleGenerator:
    """Return a generator in the kernels, or step by step if they do not support the model."""
    kind: type[CompiledGenerator | StepwiseGenerator] = (
        CompiledGenerator if is_supported(model) else StepwiseGenerator
    )
    return kind(model, logits, state, config, forbidden)


def read_opening(
    model: AnyModel, opening: Opening
) -> tuple[Float[Tensor, "columns vocabulary"], ModelState]:
    """Read the ids of an opening; return the logits of the ids after them, and the state."""
    state = opening.state
    for piece in torch.split(opening.ids, _PREFIX_PIECE):  # not all logits at once: memory
        logits, state = read(model, piece, state)
    return logits, state
