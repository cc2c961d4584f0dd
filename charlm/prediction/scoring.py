"""Score a text: sum the nats −ln p of its characters, in one stream or in several side by side.

`perplexity` computes perplexity from the sums.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Float32

from charlm.corpus.corpus import Split
from charlm.corpus.vocabulary import Ids
from charlm.distributed.processes import Processes
from charlm.errors import CorpusError
from charlm.formatting import count
from charlm.kernels.loading import Precision
from charlm.models.ensemble import AnyModel
from charlm.prediction.perplexity import Score
from charlm.prediction.reading import WARM_UP, Streams, each_piece, precision_of


def protocol(streams: int, precision: Precision, *, has_records: bool = False) -> str:
    """Describe how a model of this precision reads a text in `streams` streams, or rows."""
    if has_records:
        exact = streams == 1 or precision == "float32"
        products = "exact: " if exact else f"approximate: products in {precision}, "
        return f"{products}each record from a new state, its end included"
    if streams == 1:
        return "exact: state carried through the whole text"
    products = "" if precision == "float32" else f", products in {precision}"
    context = f"each but the first with {WARM_UP} characters of context"
    return f"approximate: {streams} streams, {context}{products}"


def evaluate_split(
    model: AnyModel,
    split: Split,
    rows: int = 1,
    processes: Processes | None = None,
    characters: int | None = None,
) -> Score:
    """Score every character of a text but the first exactly once.

    With one row, the state is carried through the whole text, in float32, which is exact. With
    more, the text is read in that many streams side by side. This is faster, and an approximation:
    each stream but the first has only `WARM_UP` characters of context, and products are in the
    model's own precision. With records, both read many streams, each from the beginning of a
    record, so that only the precision differs. If a text is longer than `characters`, only about
    that number is scored, in streams spread evenly over it. `processes` share the streams. Raises
    `CorpusError` for a text of fewer than two characters.
    """
    streams = Streams.for_model(model, split.ids, rows, characters)
    score = score_of(split, lambda: _total_nats(model, split.ids, streams, processes), streams)
    return replace(score, precision=precision_of(model, streams), streams=len(streams))


def score_of(split: Split, total: Callable[[], float], streams: Streams | None = None) -> Score:
    """Return the score of a text, or of streams of it, whose nats `total` computes.

    Raises `CorpusError` for a text of fewer than two characters.
    """
    if len(split) < 2:
        raise CorpusError(
            f"a text of {count(len(split), 'character')} has none to predict; give more text"
        )
    spans = streams.spans if streams is not None else [(1, len(split))]
    measures = [split.measure(start, end) for start, end in spans]
    characters = sum(end - start for start, end in spans)
    records = None
    if split.boundary is not None:
        pieces = (split.ids[start:end] for start, end in spans)
        records = sum(int((piece == split.boundary).sum()) for piece in pieces)
    return Score(
        total(),
        characters,
        bytes=sum(size for size, _ in measures),
        unknown_characters=sum(unknown for _, unknown in measures),
        origin=split.origin,
        records=records,
    )


def score_of_nats(
    model: AnyModel, split: Split, nats: Float[np.ndarray, " predictions"], rows: int = 1
) -> Score:
    """Return the score of a text, read in `rows` streams, from the nats of each prediction."""
    score = score_of(split, lambda: float(nats.sum(dtype=np.float64)))
    return replace(score, precision=precision_of(model, Streams.for_model(model, split.ids, rows)))


def total_nats(
    model: AnyModel, ids: Ids, rows: int = 1, processes: Processes | None = None
) -> float:
    """Return the sum of −ln p over every id but the first, read in `rows` streams."""
    return _total_nats(model, ids, Streams.for_model(model, ids, rows), processes)


def nats_of_each(model: AnyModel, ids: Ids, rows: int = 1) -> Float32[np.ndarray, " predictions"]:
    """Return −ln p of every id but the first, in the order of the text."""
    streams = Streams.for_model(model, ids, rows)
    nats = np.empty(max(0, len(ids) - 1), np.float32)
    for piece in each_piece(model, ids, streams):
        nats[piece.places - 1] = piece.nats().cpu().numpy()
    return nats


def _total_nats(model: AnyModel, ids: Ids, streams: Streams, processes: Processes | None) -> float:
    processes = processes or Processes()
    total = 0.0
    for piece in each_piece(model, ids, streams, processes.share(len(streams))):
        # On the CPU: Apple's GPUs have no double precision, in which the nats are added.
        total += float(piece.nats().cpu().sum(dtype=torch.float64))
    return processes.sum(total)
