"""Generate text with integers only: the same seed gives the same text on every machine."""

import secrets
from collections.abc import Iterator
from typing import Unpack

import numpy as np

from charlm.config.sections.generation import GenerationConfig, GenerationSettings
from charlm.corpus.vocabulary import Ids
from charlm.errors import CharlmError
from charlm.portable.compiled_steps import steps_of
from charlm.portable.frequencies import LOG2_E, TOTAL, TOTAL_BITS, Frequencies
from charlm.portable.network import IntegerNetwork
from charlm.prediction.generation import bytes_written, generation_config
from charlm.prediction.predictor import Predictor
from charlm.prediction.text_stream import decode_steps

_WORD = (1 << 32) - 1
_GOLDEN = 0x9E3779B9
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0


class Random:
    """Marsaglia's xorshift128 ("Xorshift RNGs", 2003), seeded by MurmurHash3's finalizer."""

    def __init__(self, seed: int) -> None:
        low, high = seed & _WORD, seed >> 32 & _WORD
        self._words = [_mixed(low + _mixed(high) + number * _GOLDEN) for number in range(1, 5)]

    def bits(self) -> int:
        """Return 24 random bits."""
        first, *rest = self._words
        first ^= first << 11 & _WORD
        last = rest[-1] ^ rest[-1] >> 19 ^ first ^ first >> 8
        self._words = [*rest, last]
        return last >> 32 - TOTAL_BITS


def _mixed(number: int) -> int:
    number &= _WORD
    number = (number ^ number >> 16) * 0x85EBCA6B & _WORD
    number = (number ^ number >> 13) * 0xC2B2AE35 & _WORD
    return number ^ number >> 16


def generate_with_integers(
    network: IntegerNetwork,
    predictor: Predictor,
    prefix: Ids,
    *,
    seed: int | None = None,
    stop: bytes | None = None,
    **settings: Unpack[GenerationSettings],
) -> Iterator[bytes]:
    """Yield the continuation of a prefix in bytes, as `generation.generate_bytes` does."""
    config = generation_config(predictor, settings)
    seed = secrets.randbits(63) if seed is None else seed % 2**63
    steps = ([symbol] for symbol in generate_ids(network, prefix, config, seed))
    return decode_steps(steps, lambda ids, _: bytes_written(predictor, ids), stop)


def generate_ids(
    network: IntegerNetwork, prefix: Ids, config: GenerationConfig, seed: int
) -> Iterator[int]:
    """Yield the ids that follow a prefix, or an opening if there is none; never the unknown one.

    `config` has the length and the restrictions of sampling. Raises `CharlmError` for a
    temperature that integers cannot express.
    """
    is_greedy = config.greedy or config.temperature == 0
    temperature = 1.0 if is_greedy else config.temperature
    if not MIN_TEMPERATURE <= temperature <= MAX_TEMPERATURE:
        raise CharlmError(
            f"generation.temperature: {temperature:g}; integers express {MIN_TEMPERATURE:g} to "
            f"{MAX_TEMPERATURE:g}; use such a temperature, or omit --portable"
        )
    # The quotient of two doubles and its rounding are the same on every machine.
    steps = steps_of(network, round(LOG2_E / temperature))
    random = Random(seed)
    if len(prefix):
        steps.read(prefix)
    elif network.openings:
        steps.begin(network.openings[seed % len(network.openings)])
    unknown = network.vocabulary.unknown_id
    for _ in range(config.length):
        frequencies = steps.frequencies.copy()
        if unknown is not None:
            frequencies[unknown] = 0
        if is_greedy:
            chosen = int(frequencies.argmax())
        else:
            ends = _restricted(frequencies, config).cumsum()
            target = random.bits() * int(ends[-1]) >> TOTAL_BITS
            chosen = int(ends.searchsorted(target, "right"))
        yield chosen
        steps.read(np.array([chosen]))


def _restricted(frequencies: Frequencies, config: GenerationConfig) -> Frequencies:
    """Set the frequencies that top_k, top_p and min_p exclude to 0; of equals the first stay."""
    order = np.argsort(-frequencies, kind="stable")
    ranked = frequencies[order]
    keeps = np.ones(len(order), bool)
    if config.top_k is not None:
        keeps[config.top_k :] = False
    if config.top_p < 1:
        before = ranked.cumsum() - ranked
        keeps &= before < int(config.top_p * TOTAL)
    if config.min_p > 0:
        keeps &= ranked * TOTAL >= int(config.min_p * TOTAL) * int(ranked[0])
    keeps[0] = True
    restricted = np.zeros_like(frequencies)
    restricted[order[keeps]] = ranked[keeps]
    return restricted
