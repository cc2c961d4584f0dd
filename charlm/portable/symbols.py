"""Write a text's symbols as intervals of the range coder, and read them back.

A character outside the vocabulary is the unknown symbol, then its code point. Bytes that are not
UTF-8 are characters, too: those of PEP 383 (surrogateescape).
"""

from collections.abc import Iterator

import numpy as np

from charlm.corpus.vocabulary import Ids, Symbols, Vocabulary
from charlm.portable.range_coder import RangeEncoder
from charlm.portable.steps import Steps


def encode(steps: Steps, vocabulary: Vocabulary, symbols: Symbols, ids: Ids) -> bytes:
    """Return the symbols, whose ids are given, in bytes, as the network predicts them.

    The network reads them.
    """
    encoder = RangeEncoder()
    begins, sizes = steps.read(ids)
    for begin, size, code_point in zip(
        begins.tolist(), sizes.tolist(), _unknown(vocabulary, ids, symbols), strict=True
    ):
        encoder.encode(begin, size)
        if code_point is not None:
            encoder.encode_code_point(code_point)
    return encoder.finish()


def decode(steps: Steps, vocabulary: Vocabulary, data: bytes, count: int) -> Symbols:
    """Return `count` symbols that `encode` wrote; raises `InvalidDataError` for other bytes."""
    alphabet = np.array([0, *vocabulary.symbols], np.uint32)[-len(vocabulary) :]
    return steps.decode(data, count, alphabet, vocabulary.unknown_id)


def _unknown(vocabulary: Vocabulary, ids: Ids, symbols: Symbols) -> Iterator[int | None]:
    """Yield the code point of each unknown character, and None for the others."""
    if vocabulary.unknown_id is None:
        return (None for _ in range(len(ids)))
    is_unknown = ids == vocabulary.unknown_id
    return (
        point if unknown else None
        for unknown, point in zip(is_unknown.tolist(), symbols.tolist(), strict=True)
    )
