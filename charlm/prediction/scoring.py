"""Score a text: sum the nats −ln p of its characters, in one stream or in several side by side.

`perplexity` computes perplexity from the sums.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor
from torch.nn import functional as F

from charlm.corpus.batch_iterator import Batch
from charlm.corpus.corpus import Split
from charlm.corpus.vocabulary import Ids
from charlm.distributed.processes import Processes
from charlm.errors import CorpusError
from charlm.kernels.loading import Precision, computing_in
from charlm.models.ensemble import AnyModel
from charlm.models.states import ModelState
from charlm.prediction.perplexity import Score

_PREDICTIONS_AT_ONCE = 1 << 12
"""Number of logits rows in memory (streams × steps); it does not change the result."""
WARM_UP = 256
"""Characters of context that each stream but the first reads before it scores any."""


def num_streams(length: int, rows: int) -> int:
    """Return the number of streams for a text: at most `rows`, none shorter than its warm-up."""
    return max(1, min(rows, (length - 1) // WARM_UP))


@dataclass(frozen=True)
class Streams:
    """Division of a text into streams that are scored side by side.

    A stream reads the character at its start, and scores the `length` characters after it.
    """

    starts: Int64[np.ndarray, " streams"]
    length: int
    size: int
    """Number of characters of the whole text."""

    @classmethod
    def of(cls, size: int, rows: int, characters: int | None = None) -> "Streams":
        """Divide a text of `size` characters, or take `characters` of it, spread evenly."""
        if characters is None or size - 1 <= characters:
            number = num_streams(size, rows)
            length = step = -(-(size - 1) // number)
        else:
            number = num_streams(characters + 1, rows)
            length, step = characters // number, (size - 1) // number
        return cls(np.arange(number) * step, length, size)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Return the range of the scored characters of each stream."""
        bounds = np.stack([self.starts + 1, self.starts + 1 + self.length], axis=1)
        return [(start, end) for start, end in np.minimum(bounds, self.size).tolist()]


def protocol(streams: int, precision: Precision) -> str:
    """Describe how a model of this precision reads a text in `streams` streams."""
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
    model's own precision. If a text is longer than `characters`, only about that number is scored,
    in streams spread evenly over it. `processes` share the streams. Raises `CorpusError` for a
    text of fewer than two characters.
    """
    streams = Streams.of(len(split), rows, characters)
    score = score_of(split, lambda: _total_nats(model, split.ids, streams, processes), streams)
    return replace(score, precision=_precision_of(model, streams))


def score_of(split: Split, total: Callable[[], float], streams: Streams | None = None) -> Score:
    """Return the score of a text, or of streams of it, whose nats `total` computes.

    Raises `CorpusError` for a text of fewer than two characters.
    """
    if len(split) < 2:
        raise CorpusError(f"a text of {len(split)} characters has none to predict; give more text")
    spans = streams.spans if streams is not None else [(1, len(split))]
    measures = [split.measure(start, end) for start, end in spans]
    characters = sum(end - start for start, end in spans)
    return Score(
        total(),
        characters,
        bytes=sum(size for size, _ in measures),
        unknown_characters=sum(unknown for _, unknown in measures),
        origin=split.origin,
    )


def total_nats(
    model: AnyModel, ids: Ids, rows: int = 1, processes: Processes | None = None
) -> float:
    """Return the sum of −ln p over every id but the first, read in `rows` streams."""
    return _total_nats(model, ids, Streams.of(len(ids), rows), processes)


@torch.inference_mode()
def nats_of_each(model: AnyModel, ids: Ids) -> Float64[np.ndarray, " predictions"]:
    """Return −ln p of every id but the first, read in one stream."""
    streams = Streams.of(len(ids), rows=1)
    with _evaluating(model), computing_in(_precision_of(model, streams)):
        pieces = [nats.double().numpy() for nats in _nats(model, ids, streams, range(1))]
    return np.concatenate(pieces)


@torch.inference_mode()
def _total_nats(model: AnyModel, ids: Ids, streams: Streams, processes: Processes | None) -> float:
    processes = processes or Processes()
    share, total = processes.share(len(streams)), 0.0
    with _evaluating(model), computing_in(_precision_of(model, streams)):
        for nats in _nats(model, ids, streams, share):
            total += float(nats.sum(dtype=torch.float64))
    return processes.sum(total)


@contextmanager
def _evaluating(model: AnyModel) -> Iterator[None]:
    """Set a model to evaluation inside the block."""
    was_training = model.training
    model.eval()
    yield
    model.train(was_training)


def _precision_of(model: AnyModel, streams: Streams) -> Precision:
    """Return the precision in which a model reads streams; a single stream is exact."""
    return "float32" if len(streams) == 1 else model.precision


def _nats(model: AnyModel, ids: Ids, streams: Streams, share: range) -> Iterator[Tensor]:
    """Yield −ln p of the predictions in the streams of one process, step by step."""
    if not share:
        return
    starts = streams.starts[share.start : share.stop]
    state = model.initial_state(len(share))
    if len(streams) > 1:
        for begin, end in _pieces(-WARM_UP, 0, len(streams)):
            batch, _ = _segments(ids, starts, begin, end)
            _, state = model(batch.inputs.to(model.device), state)
        if 0 in share:
            state = _zero_first_stream(state)
    for begin, end in _pieces(0, streams.length, len(streams)):
        batch, is_scored = _segments(ids, starts, begin, end)
        logits, state = model(batch.inputs.to(model.device), state)
        yield _scored_nats(logits, batch.targets.to(model.device), is_scored.to(model.device))


def _pieces(begin: int, end: int, streams: int) -> Iterator[tuple[int, int]]:
    steps = max(1, _PREDICTIONS_AT_ONCE // streams)
    for start in range(begin, end, steps):
        yield start, min(start + steps, end)


def _segments(
    ids: Ids, starts: np.ndarray, begin: int, end: int
) -> tuple[Batch, Bool[Tensor, "time streams"]]:
    """Return steps `begin` to `end` of every stream, and which predictions count.

    After the end of the text ids repeat and do not count.
    """
    places = starts + np.arange(begin, end)[:, None]
    inputs = torch.from_numpy(ids[np.clip(places, 0, len(ids) - 1)].astype(np.int64))
    targets = torch.from_numpy(ids[np.clip(places + 1, 0, len(ids) - 1)].astype(np.int64))
    return Batch(inputs, targets, True), torch.from_numpy(places + 1 < len(ids))


def _scored_nats(
    logits: Float[Tensor, "time streams vocabulary"],
    targets: Int64[Tensor, "time streams"],
    is_scored: Bool[Tensor, "time streams"],
) -> Float[Tensor, " predictions"]:
    nats = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none")
    # On the CPU: Apple's GPUs have no double precision, in which the nats are added.
    return nats.masked_select(is_scored.flatten()).cpu()


def _zero_first_stream(state: ModelState) -> ModelState:
    """Zero the state of the first stream: the text begins there, so its warm-up was not text."""
    keep = (torch.arange(len(state[0][0]), device=state[0][0].device) > 0).unsqueeze(1)
    return tuple(tuple(tensor * keep for tensor in layer_state) for layer_state in state)
