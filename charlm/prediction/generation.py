"""Generate text: read the prefix, then choose and read one character after another."""

import secrets
from collections.abc import Iterator, Sequence
from typing import Literal, Unpack

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from charlm.config.load import make_config
from charlm.config.schema import GenerationConfig
from charlm.config.sections.generation import GenerationSettings
from charlm.corpus.decoding import as_read
from charlm.corpus.vocabulary import Ids, Vocabulary, bytes_of
from charlm.errors import VocabularyError
from charlm.kernels.loading import computing_in
from charlm.models.ensemble import AnyModel
from charlm.models.language_model import LanguageModel
from charlm.models.openings import Opening
from charlm.models.states import ModelState
from charlm.prediction.compiled_generation import CompiledGenerator, is_supported
from charlm.prediction.next_character import choose, output_not_finite
from charlm.prediction.predictor import Predictor
from charlm.prediction.text_stream import StreamDecoder, decode_steps
from charlm.prediction.typographic_prefix import with_typographic_characters

UnknownAction = Literal["error", "skip", "map"]
"""What to do with unknown characters of a prefix."""

_PREFIX_PIECE = 1 << 10
"""Number of characters of a prefix that are read at once."""
_COMPILED_PIECE = 32
"""Number of characters that the kernels generate at once: few enough for a steady stream."""
_SEED_STRIDE = 0x9E3779B97F4A7C15
"""Difference between the seeds of consecutive samples."""
_LOSSLESS = "surrogateescape"
"""Error handler that preserves bytes that are not UTF-8 in a text (PEP 383)."""


def generate(
    predictor: Predictor,
    prefix: str | None = None,
    *,
    seed: int | None = None,
    stop: str | None = None,
    unknown: UnknownAction = "error",
    **settings: Unpack[GenerationSettings],
) -> Iterator[str]:
    """Yield the continuation of `prefix` as it is generated, piece by piece.

    `settings` are keys of the config's `generation` section (`length`, `temperature`, `top_k`,
    `top_p`, `min_p`, `greedy`). The defaults of these and of the prefix are those of the model's
    own config. The continuation does not contain the prefix, and ends before the first `stop`.
    Typed quotes, hyphens and dots that the model does not know are read as the typographic ones
    that it knows, with a `VocabularyWarning`. Raises `VocabularyError` for a prefix with other
    unknown characters, unless `unknown` skips them or maps them to the unknown symbol, and
    `ConfigError` for invalid settings.
    """
    ids = _prefix_ids(predictor, prefix, unknown)
    steps = _next_ids(predictor, ids, 1, seed, settings)
    return decode_steps(steps, StreamDecoder(predictor.vocabulary).decode, stop)


def generate_text(
    predictor: Predictor,
    prefix: str | None = None,
    *,
    seed: int | None = None,
    stop: str | None = None,
    unknown: UnknownAction = "error",
    **settings: Unpack[GenerationSettings],
) -> str:
    """Return the continuation of `prefix` when it is complete; see `generate`."""
    return "".join(generate(predictor, prefix, seed=seed, stop=stop, unknown=unknown, **settings))


def generate_bytes(
    predictor: Predictor,
    prefix: bytes | Ids | None = None,
    *,
    seed: int | None = None,
    stop: bytes | None = None,
    unknown: UnknownAction = "error",
    **settings: Unpack[GenerationSettings],
) -> Iterator[bytes]:
    """Yield the continuation of `prefix` in bytes; see `generate`.

    The bytes of a byte model, and those of its prefix, need not be UTF-8. For a character model,
    both are UTF-8. The prefix may also be the ids of `encode_prefix`.
    """
    ids = encode_prefix(predictor, prefix, unknown)
    steps = _next_ids(predictor, ids, 1, seed, settings)
    return decode_steps(steps, lambda ids, _: predictor.vocabulary.decode_bytes(ids), stop)


def generate_samples(
    predictor: Predictor,
    prefix: bytes | Ids | None = None,
    *,
    num_samples: int,
    seed: int | None = None,
    stop: bytes | None = None,
    unknown: UnknownAction = "error",
    **settings: Unpack[GenerationSettings],
) -> list[bytes]:
    """Return several continuations of `prefix`, generated side by side; see `generate_bytes`."""
    ids = encode_prefix(predictor, prefix, unknown)
    steps = list(_next_ids(predictor, ids, num_samples, seed, settings))
    samples = map(predictor.vocabulary.decode_bytes, zip(*steps, strict=True))
    return [sample.partition(stop)[0] if stop else sample for sample in samples]


def encode_prefix(
    predictor: Predictor, prefix: bytes | Ids | None = None, unknown: UnknownAction = "error"
) -> Ids:
    """Return the ids of a prefix as the model reads it; ids stay as they are.

    The newlines and the normal form are those of the training text, and the ids do not contain
    skipped characters.
    """
    if isinstance(prefix, np.ndarray):
        return prefix
    return _prefix_ids(predictor, _as_text(predictor, prefix), unknown)


def _as_text(predictor: Predictor, prefix: bytes | None) -> str | None:
    """Decode a prefix; for a byte model, encoding it again gives the same bytes."""
    if prefix is None:
        return None
    errors = _LOSSLESS if predictor.vocabulary.unit == "byte" else "strict"
    try:
        return prefix.decode("utf-8", errors)
    except UnicodeDecodeError as reason:
        raise VocabularyError(
            f"the prefix: byte {reason.start} is not UTF-8; a character model needs UTF-8, so "
            "convert the prefix"
        ) from None


def _prefix_ids(predictor: Predictor, prefix: str | None, unknown: UnknownAction) -> Ids:
    text = predictor.prefix
    if prefix is not None:
        read = as_read(prefix, predictor.config.corpus)
        text = with_typographic_characters(read, predictor.vocabulary)
    if predictor.vocabulary.unit == "byte":
        return np.frombuffer(bytes_of(text), np.uint8)
    return predictor.vocabulary.encode_text(text, unknown)


def _next_ids(
    predictor: Predictor,
    prefix: Ids,
    num_samples: int,
    seed: int | None,
    settings: GenerationSettings,
) -> Iterator[list[int]]:
    """Return an iterator of steps, each with the next id of every sample."""
    defaults = predictor.config.generation.model_dump()
    keys = defaults | {key: value for key, value in settings.items() if value is not None}
    config = make_config({"generation": keys}, "generate").generation
    vocabulary = predictor.vocabulary
    model, opening = predictor.model, predictor.opening
    seed = secrets.randbits(63) if seed is None else seed % 2**63
    if len(prefix) or opening is None:
        opening = Opening.of_prefix(model, prefix if len(prefix) else default_prefix(vocabulary))
    else:
        opening = opening.for_samples(seed, num_samples)
    generators = sample_generators(seed, num_samples)
    steps = generate_ids(model, opening, config, generators, forbidden=vocabulary.unknown_id)
    return (step.tolist() for step in steps)


def default_prefix(vocabulary: Vocabulary) -> Ids:
    """Return the id read first if there is no prefix: a newline, or else a space, or any id."""
    for character in "\n ":
        ids = vocabulary.encode_text(character, unknown="skip")
        if len(ids):
            return ids
    return vocabulary.encode(vocabulary.symbols_of(chr(vocabulary.symbols[0])))


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
    logits, state = _read_opening(model, opening, len(generators))

    def uniforms(steps: int) -> Float64[Tensor, "steps samples"]:
        columns = [torch.rand(steps, dtype=torch.float64, generator=g) for g in generators]
        return torch.stack(columns, dim=1)

    if isinstance(model, LanguageModel) and is_supported(model):
        compiled = CompiledGenerator(model, logits, state, config, forbidden)
        for start in range(0, config.length, _COMPILED_PIECE):
            ids = compiled.generate(uniforms(min(_COMPILED_PIECE, config.length - start)))
            is_finite = (ids >= 0).all(dim=1)  # once per piece: once per character costs a fifth
            if not is_finite.all():
                yield from ids[: int(is_finite.long().argmin())]
                raise output_not_finite()
            yield from ids
        return
    for _ in range(config.length):
        if forbidden is not None:
            logits[:, forbidden] = -torch.inf
        ids = choose(logits, config, uniforms(1)[0])
        yield ids
        logits, state = _read(model, ids.unsqueeze(0), state)


@torch.no_grad()  # not around a generator, which would keep it active between two ids
def _read(
    model: AnyModel, inputs: Int64[Tensor, "time batch"], state: ModelState
) -> tuple[Float[Tensor, "batch vocabulary"], ModelState]:
    """Read characters; return the logits of the one after them, and the new state."""
    with computing_in("float32"):
        logits, state = model(inputs, state)
    return logits[-1], state


def _read_opening(
    model: AnyModel, opening: Opening, num_samples: int
) -> tuple[Float[Tensor, "batch vocabulary"], ModelState]:
    state = opening.state
    for piece in torch.split(opening.ids, _PREFIX_PIECE):  # not all logits at once: memory
        logits, state = _read(model, piece, state)
    repeated = tuple(tuple(t.expand(num_samples, -1) for t in layer_state) for layer_state in state)
    return logits.expand(num_samples, -1).clone(), repeated
