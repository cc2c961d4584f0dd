"""The letters of a vocabulary, of which words consist."""

import numpy as np
from jaxtyping import Int64

from charlm.config.schema import EnsembleConfig
from charlm.corpus.vocabulary import Vocabulary

_APOSTROPHES = "'\N{RIGHT SINGLE QUOTATION MARK}"
_NUM_ASCII = 128


def letters_for(
    ensemble: EnsembleConfig, vocabulary: Vocabulary
) -> Int64[np.ndarray, " vocabulary"] | None:
    """Return the letters of a vocabulary if an ensemble counts contexts of words, else None."""
    is_wanted = ensemble.word_contexts and ensemble.ngram_order
    return letters_of(vocabulary) if is_wanted else None


def letters_of(vocabulary: Vocabulary) -> Int64[np.ndarray, " vocabulary"]:
    """Return the letter that each id stands for, the same in upper and lower case; 0 for others.

    Digits and apostrophes are letters, too, and bytes outside ASCII, of which letters consist.
    """
    unknown = [0] if vocabulary.unknown_id is not None else []
    is_byte = vocabulary.unit == "byte"
    return np.array([*unknown, *(_letter(symbol, is_byte) for symbol in vocabulary.symbols)])


def _letter(symbol: int, is_byte: bool) -> int:
    if is_byte and symbol >= _NUM_ASCII:
        return symbol
    character = chr(symbol)
    return ord(character.lower()[0]) if character.isalnum() or character in _APOSTROPHES else 0
