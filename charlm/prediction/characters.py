"""Score each character of a text in one pass: −ln p, rank, entropy and likeliest alternatives.

Everything in `analysis` reads these columns, and `Predictor.scores` returns them as a table.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32, Int64, Integer

from charlm.corpus.vocabulary import UNKNOWN_SIGN, Ids, Vocabulary
from charlm.models.ensemble import AnyModel
from charlm.prediction.reading import Piece, Streams, each_piece

_LOGITS_AT_ONCE = 1 << 18
"""Number of logits whose columns are computed at once; they fit in a processor's cache."""


@dataclass(frozen=True)
class Columns:
    """Scores of predicted ids (characters, or bytes with `unit: byte`), one entry for each."""

    places: Int64[np.ndarray, " predictions"]
    """Position of the id in the text."""
    nats: Float32[np.ndarray, " predictions"]
    """−ln p(id | all ids before it)."""
    ranks: Int32[np.ndarray, " predictions"]
    """1 + the number of ids that were likelier."""
    entropies: Float32[np.ndarray, " predictions"]
    """Entropy of the distribution over the vocabulary, in nats: the expected −ln p."""
    likeliest: Integer[np.ndarray, "predictions likeliest"]
    """The likeliest ids, the likeliest one first; the predicted id may be among them."""
    probabilities: Float32[np.ndarray, "predictions likeliest"]
    """The probabilities of the likeliest ids."""

    def __len__(self) -> int:
        return len(self.places)

    @classmethod
    def empty(cls, length: int, vocabulary_size: int, num_likeliest: int = 0) -> "Columns":
        """Return columns of zeros."""
        id_type = np.uint16 if vocabulary_size <= 1 << 16 else np.int32
        width = min(num_likeliest, vocabulary_size)
        return cls(
            np.zeros(length, np.int64),
            np.zeros(length, np.float32),
            np.zeros(length, np.int32),
            np.zeros(length, np.float32),
            np.zeros((length, width), id_type),
            np.zeros((length, width), np.float32),
        )

    def put(self, where: Any, other: "Columns") -> None:
        """Write the entries of other columns at an index of these."""
        for field in fields(self):
            getattr(self, field.name)[where] = getattr(other, field.name)


def score_pieces(
    model: AnyModel, ids: Ids, rows: int = 1, num_likeliest: int = 0
) -> Iterator[Columns]:
    """Yield the columns of every id but the first, in pieces of a few thousand.

    One row is exact, and its pieces are in the order of the text. With more rows, the text is read
    in that many streams (see `scoring.evaluate_split`), and `places` gives the order. Memory does
    not grow with the text.
    """
    for piece in each_piece(model, ids, Streams.for_model(model, ids, rows)):
        yield columns_of(piece, num_likeliest)


def score_ids(model: AnyModel, ids: Ids, rows: int = 1, num_likeliest: int = 0) -> Columns:
    """Return the columns of every id but the first, in the order of the text.

    They take 20 bytes an id, and 6 more for each alternative.
    """
    columns = Columns.empty(max(0, len(ids) - 1), model.vocabulary_size, num_likeliest)
    for piece in score_pieces(model, ids, rows, num_likeliest):
        columns.put(piece.places - 1, piece)
    return columns


def by_character(
    columns: Columns, starts: Int64[np.ndarray, " characters"], vocabulary_size: int
) -> Columns:
    """Join the ids of each character, given the position of the first id of each in the text.

    The first id of the text has no scores: its entries are 0. A character of several bytes has the
    sum of their nats, and of their entropies, the largest of their ranks, and the alternatives to
    its first byte.
    """
    of_ids = Columns.empty(len(columns) + 1, vocabulary_size, columns.likeliest.shape[1])
    of_ids.put(slice(1, None), columns)
    return Columns(
        starts,
        np.add.reduceat(of_ids.nats, starts),
        np.maximum.reduceat(of_ids.ranks, starts),
        np.add.reduceat(of_ids.entropies, starts),
        of_ids.likeliest[starts],
        of_ids.probabilities[starts],
    )


def shown_symbols(vocabulary: Vocabulary) -> tuple[str, ...]:
    """Return the text of each id: U+FFFD if it is unknown, <0xE9> for a byte beyond ASCII."""
    if vocabulary.unit == "byte":
        return tuple(chr(byte) if byte < 0x80 else f"<0x{byte:02X}>" for byte in range(256))
    return (UNKNOWN_SIGN, *map(chr, vocabulary.symbols))


@torch.inference_mode()
def columns_of(piece: Piece, num_likeliest: int = 0) -> Columns:
    """Return the columns of some predictions."""
    size = piece.logits.shape[1]
    columns = Columns.empty(len(piece.places), size, num_likeliest)
    columns.places[:] = piece.places
    step = max(1, _LOGITS_AT_ONCE // size)
    for start in range(0, len(columns), step):
        rows = slice(start, start + step)
        targets = piece.targets[rows].unsqueeze(1)
        logs = piece.logits[rows].log_softmax(dim=1)
        chosen = logs.gather(1, targets)
        columns.nats[rows] = _numbers(-chosen[:, 0])
        columns.ranks[rows] = _numbers((logs > chosen).sum(dim=1, dtype=torch.int32)) + 1
        probabilities = logs.exp()
        columns.entropies[rows] = _numbers(-probabilities.mul_(logs).sum(dim=1))
        if width := columns.likeliest.shape[1]:
            highest = logs.topk(width, dim=1)
            columns.likeliest[rows] = _numbers(highest.indices)
            columns.probabilities[rows] = _numbers(highest.values.exp())
    return columns


def _numbers(tensor: Float[torch.Tensor, "..."] | Integer[torch.Tensor, "..."]) -> np.ndarray:
    numbers: np.ndarray = tensor.cpu().numpy()
    return numbers
