"""Generate text: the continuation of a prefix, as text or bytes, one sample or several."""

import secrets
from collections.abc import Iterator, Sequence
from typing import Any, Literal, Unpack, get_args

import numpy as np

from charlm.config.load import with_generation
from charlm.config.sections.generation import GenerationConfig, GenerationSettings
from charlm.corpus.decoding import as_read
from charlm.corpus.records import Records
from charlm.corpus.vocabulary import Ids, Vocabulary, bytes_of
from charlm.errors import ConfigError, VocabularyError
from charlm.models.openings import Opening
from charlm.prediction.generated_ids import generate_ids, sample_generators
from charlm.prediction.predictor import Predictor
from charlm.prediction.text_stream import StreamDecoder, decode_steps
from charlm.prediction.typographic_prefix import with_typographic_characters

UnknownAction = Literal["error", "skip", "map"]
"""What to do with unknown characters of a prefix."""

_NO_RECORDS = Records("\n", "\n")
"""Records whose ends are written as they are: text without records stays as it is."""
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
    ids = encode_text_prefix(predictor, prefix, unknown)
    steps = _next_ids(predictor, ids, 1, seed, settings)
    decoder, ends = StreamDecoder(predictor.vocabulary), predictor.records or _NO_RECORDS
    return decode_steps(steps, lambda ids, final: ends.write(decoder.decode(ids, final)), stop)


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
    return decode_steps(steps, lambda ids, _: bytes_written(predictor, ids), stop)


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
    samples = (bytes_written(predictor, ids) for ids in zip(*steps, strict=True))
    return [sample.partition(stop)[0] if stop else sample for sample in samples]


def bytes_written(predictor: Predictor, ids: Sequence[int]) -> bytes:
    """Return the bytes of ids, with the ends of records as they are written out."""
    return (predictor.records or _NO_RECORDS).write_bytes(predictor.vocabulary.decode_bytes(ids))


def encode_prefix(
    predictor: Predictor, prefix: bytes | Ids | None = None, unknown: UnknownAction = "error"
) -> Ids:
    """Return the ids of a prefix as the model reads it; return ids unchanged.

    The newlines and the normal form are those of the training text, and the ids do not contain
    skipped characters.
    """
    if isinstance(prefix, np.ndarray):
        return prefix
    return encode_text_prefix(predictor, _as_text(predictor, prefix), unknown)


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


def encode_text_prefix(predictor: Predictor, prefix: str | None, unknown: UnknownAction) -> Ids:
    """Return the ids of a prefix in text; see `encode_prefix`."""
    if unknown not in get_args(UnknownAction):
        raise ConfigError(f"unknown is {unknown!r}: should be 'error', 'skip' or 'map'")
    text = predictor.prefix if prefix is None else _as_model_reads(predictor, prefix)
    if predictor.vocabulary.unit == "byte":
        return np.frombuffer(bytes_of(text), np.uint8)
    return predictor.vocabulary.encode_text(text, unknown)


def unknown_characters(predictor: Predictor, prefix: str) -> str:
    """Return the characters of a prefix that the model does not know, each once, in order."""
    text, vocabulary = _as_model_reads(predictor, prefix), predictor.vocabulary
    if vocabulary.unknown_id is None:
        return ""
    is_unknown = vocabulary.encode(vocabulary.symbols_of(text)) == vocabulary.unknown_id
    return "".join(dict.fromkeys(text[place] for place in np.flatnonzero(is_unknown)))


def _as_model_reads(predictor: Predictor, prefix: str) -> str:
    read = as_read(prefix, predictor.config.corpus)
    return with_typographic_characters(read, predictor.vocabulary)


def generation_config(predictor: Predictor, settings: GenerationSettings) -> GenerationConfig:
    """Return a model's settings with others; raises `ConfigError` for invalid ones."""
    plain: Any = {  # a number of NumPy is one of Python
        key: value.item() if isinstance(value, np.generic) else value
        for key, value in settings.items()
    }
    return with_generation(predictor.config.generation, plain)


def _next_ids(
    predictor: Predictor,
    prefix: Ids,
    num_samples: int,
    seed: int | None,
    settings: GenerationSettings,
) -> Iterator[list[int]]:
    """Return an iterator of steps, each with the next id of every sample."""
    config = generation_config(predictor, settings)
    seed = random_seed() if seed is None else seed % 2**63
    opening = opening_of(predictor, prefix, num_samples, seed)
    generators = sample_generators(seed, num_samples)
    forbidden = predictor.vocabulary.unknown_id
    steps = generate_ids(predictor.model, opening, config, generators, forbidden=forbidden)
    return (step.tolist() for step in steps)


def opening_of(predictor: Predictor, prefix: Ids, num_samples: int, seed: int) -> Opening:
    """Return what is read before the first character of samples: a column for each, or for all."""
    model, opening = predictor.model, predictor.opening
    if len(prefix) or opening is None:
        return Opening.of_prefix(
            model, prefix if len(prefix) else default_prefix(predictor.vocabulary)
        )
    return opening.for_samples(seed, num_samples)


def random_seed() -> int:
    """Return a seed for a text that needs none in particular, of 31 bits: easy to write down."""
    return secrets.randbits(31)


def default_prefix(vocabulary: Vocabulary) -> Ids:
    """Return the id read first if there is no prefix: a newline, or else a space, or any id."""
    for character in "\n ":
        ids = vocabulary.encode_text(character, unknown="skip")
        if len(ids):
            return ids
    return vocabulary.encode(vocabulary.symbols_of(chr(vocabulary.symbols[0])))
