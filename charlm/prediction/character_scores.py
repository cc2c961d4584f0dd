"""The scores of single characters as a NumPy record array, which pandas can take over."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from charlm.errors import CharlmError
from charlm.prediction.characters import by_character, score_ids, shown_symbols
from charlm.prediction.next_character import output_not_finite
from charlm.prediction.predictor import Predictor
from charlm.prediction.text_score import ids_to_score

if TYPE_CHECKING:
    from pandas import DataFrame


class CharacterScores(np.recarray[tuple[int], np.dtype[np.record]]):
    """A table with a row for each character of a text: `table.bits`, `table[5].rank`.

    - `character`: the character, as the model reads it (NumPy shows NUL as an empty string)
    - `bits`: −log₂ p(character | all characters before it)
    - `rank`: 1 + the number of characters that were likelier
    - `entropy`: the expected bits, the entropy of the distribution over the vocabulary
    - `likeliest`: the likeliest characters, the likeliest one first
    - `probability`: the probabilities of these

    The first character of running text is not predicted: its bits and entropy are NaN, its rank is
    0 and its alternatives are empty. In a model of bytes, a character has the sum of the bits and
    of the entropies of its bytes, the largest of their ranks, and the alternatives to its first
    byte, where <0xE9> is a byte beyond ASCII; the first byte of the text is not predicted. U+FFFD
    stands for all characters outside the vocabulary.
    """

    def to_pandas(self) -> "DataFrame":
        """Return the table as a `pandas.DataFrame`.

        The alternatives are the columns `likeliest_1`, `probability_1`, and so on. Raises
        `CharlmError` if pandas is not installed.
        """
        try:
            import pandas  # noqa: PLC0415 - not a dependency
        except ImportError:
            raise CharlmError("to_pandas needs pandas: pip install pandas") from None
        columns = {name: self[name] for name in ("character", "bits", "rank", "entropy")}
        for number in range(self["likeliest"].shape[-1]):
            for name in ("likeliest", "probability"):
                columns[f"{name}_{number + 1}"] = self[name][..., number]
        return pandas.DataFrame(columns)


def character_scores(predictor: Predictor, text: str, num_likeliest: int) -> CharacterScores:
    """Return the table of a text; see `Predictor.scores`."""
    if num_likeliest < 0:
        raise CharlmError(f"likeliest={num_likeliest}: the number of alternatives is at least 0")
    model = predictor.model
    read, ids, starts = ids_to_score(predictor, text)
    columns = score_ids(model, ids, num_likeliest=num_likeliest)
    if not np.isfinite(columns.nats).all():
        raise output_not_finite()
    columns = by_character(columns, starts, model.vocabulary_size)
    symbols = np.array(shown_symbols(predictor.vocabulary))
    width = columns.likeliest.shape[1]
    table = np.zeros(len(read), _row_type(symbols.dtype, width)).view(CharacterScores)
    table["character"] = list(read)
    table["bits"] = columns.nats / math.log(2)
    table["rank"] = columns.ranks
    table["entropy"] = columns.entropies / math.log(2)
    table["likeliest"] = symbols[columns.likeliest]
    table["probability"] = columns.probabilities
    is_predicted = columns.ranks > 0
    for name, missing in (("bits", np.nan), ("entropy", np.nan), ("likeliest", "")):
        table[name][~is_predicted] = missing
    return table


def _row_type(symbol: np.dtype[Any], width: int) -> np.dtype[np.void]:
    """Return the type of a row: a record with named columns."""
    columns = [
        ("character", "U1"),
        ("bits", np.float64),
        ("rank", np.int32),
        ("entropy", np.float64),
        ("likeliest", symbol, (width,)),
        ("probability", np.float32, (width,)),
    ]
    return np.dtype((np.record, columns))
