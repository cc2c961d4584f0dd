"""Read a text with a model, in one stream or in several side by side, and yield its predictions.

Networks read only some characters before each stream but the first; n-grams get their whole window.
Streams of records begin where a record does, so they need no context, and any number of them is
exact.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from charlm.corpus.batch_iterator import Batch
from charlm.corpus.records import record_ends
from charlm.corpus.vocabulary import Ids
from charlm.kernels.loading import Precision, computing_in
from charlm.models.ensemble import AnyModel, Ensemble
from charlm.models.states import ModelState

_PREDICTIONS_AT_ONCE = 1 << 12
"""Number of logits rows in memory (streams × steps); it does not change the result."""
RECORD_STREAMS = 64
"""Smallest number of streams in which records are read."""
WARM_UP = 256
"""Characters of context that each stream of running text but the first reads before it scores."""


def num_streams(length: int, rows: int) -> int:
    """Return the number of streams for a text: at most `rows`, none shorter than its warm-up."""
    return max(1, min(rows, (length - 1) // WARM_UP))


@dataclass(frozen=True)
class Streams:
    """Division of a text into streams that are scored side by side.

    A stream reads the character at its start, and scores those after it up to its end.
    """

    starts: Int64[np.ndarray, " streams"]
    ends: Int64[np.ndarray, " streams"]
    """Position after the last scored character of each stream."""
    warm_up: int
    """Characters of context that each stream but the first reads before it scores any."""
    is_exact: bool

    @classmethod
    def for_model(
        cls, model: AnyModel, ids: Ids, rows: int, characters: int | None = None
    ) -> "Streams":
        """Divide a text as its model requires, or take `characters` of it, spread evenly.

        Without records, `rows` is the number of streams, and one is exact. With records, one row is
        exact, too, but for speed it is many streams.
        """
        if model.boundary is None:
            return cls.of(len(ids), rows, characters)
        return cls.of_records(ids, model.boundary, rows, characters)

    @classmethod
    def of_records(
        cls, ids: Ids, boundary: int, rows: int, characters: int | None = None
    ) -> "Streams":
        """Divide a text of records, or take whole records of about `characters` in all."""
        size, number = len(ids), max(rows, RECORD_STREAMS)
        begins = np.append(0, record_ends(ids, boundary)[:-1])
        ends = np.append(begins[1:], size - 1) + 1
        step = max(1, (size - 1) / number)
        starts = np.unique(np.searchsorted(begins, (np.arange(number) * step).astype(np.int64)))
        starts = starts[starts < len(begins)]
        lasts = np.append(starts[1:], len(begins)) - 1
        if characters is not None and characters < size - 1:
            enough = np.searchsorted(ends, begins[starts] + characters / len(starts))
            lasts = np.minimum(lasts, np.maximum(enough, starts))
        return cls(begins[starts], ends[lasts], 0, is_exact=rows == 1)

    @classmethod
    def of(cls, size: int, rows: int, characters: int | None = None) -> "Streams":
        """Divide a text of `size` characters, or take `characters` of it, spread evenly."""
        if characters is None or size - 1 <= characters:
            number = num_streams(size, rows)
            length = step = -(-(size - 1) // number)
        else:
            number = num_streams(characters + 1, rows)
            length, step = characters // number, (size - 1) // number
        starts = np.arange(number) * step
        ends = np.minimum(starts + 1 + length, size)
        return cls(starts, ends, WARM_UP if number > 1 else 0, is_exact=number == 1)

    @property
    def length(self) -> int:
        """Number of characters of the longest stream."""
        return int((self.ends - self.starts).max()) - 1

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Return the range of the scored characters of each stream."""
        bounds = np.stack([self.starts + 1, self.ends], axis=1)
        return [(start, end) for start, end in bounds.tolist()]


@contextmanager
def evaluating(model: AnyModel) -> Iterator[None]:
    """Switch dropout off inside the block."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def precision_of(model: AnyModel, streams: Streams) -> Precision:
    """Return the precision in which a model reads streams: float32 if they are exact."""
    return "float32" if streams.is_exact else model.precision


@dataclass(frozen=True)
class Piece:
    """Predictions of some characters of a text, on the device of the model."""

    places: Int64[np.ndarray, " predictions"]
    """Position in the text of each predicted character."""
    logits: Float[Tensor, "predictions vocabulary"]
    targets: Int64[Tensor, " predictions"]
    """Id of each predicted character."""

    def nats(self) -> Float[Tensor, " predictions"]:
        """Return −ln p of each predicted character."""
        return F.cross_entropy(self.logits, self.targets, reduction="none")


def each_piece(
    model: AnyModel, ids: Ids, streams: Streams, share: range | None = None
) -> Iterator[Piece]:
    """Yield the predictions of every id but the first, some steps of the streams at a time.

    `share` are the streams of one process, by default all. Memory does not grow with the text.
    """
    share = range(len(streams)) if share is None else share
    if not share:
        return
    starts, ends = (all_[share.start : share.stop] for all_ in (streams.starts, streams.ends))
    precision, state = precision_of(model, streams), _first_state(model, ids, starts, streams)

    @torch.inference_mode()
    def read(inputs: Tensor) -> Tensor:
        nonlocal state
        with computing_in(precision):
            logits: Tensor
            logits, state = model(inputs.to(model.device), state)
        return logits

    with evaluating(model):
        if streams.warm_up:
            for begin, end in _pieces(-streams.warm_up, 0, len(streams)):
                read(_segments(ids, starts, begin, end)[0].inputs)
            if 0 in share:
                state = zero_first_stream(state)
        for begin, end in _pieces(0, streams.length, len(streams)):
            batch, places = _segments(ids, starts, begin, end)
            logits = read(batch.inputs).flatten(0, 1).float()
            targets = batch.targets.flatten()
            if (is_scored := (places.reshape(-1, len(ends)) < ends).flatten()).all():
                yield Piece(places, logits, targets.to(model.device))
            else:
                chosen = torch.from_numpy(is_scored)
                logits, targets = logits[chosen.to(model.device)], targets[chosen]
                yield Piece(places[is_scored], logits, targets.to(model.device))


def _first_state(model: AnyModel, ids: Ids, starts: np.ndarray, streams: Streams) -> ModelState:
    """Return the state before the warm-up: zeros for networks, the text before for n-grams."""
    if not (isinstance(model, Ensemble) and streams.warm_up):
        return model.initial_state(len(starts))
    places = starts - streams.warm_up + np.arange(-model.ngrams.window, 0)[:, None]
    before = np.where(places < 0, -1, ids[np.maximum(places, 0)].astype(np.int64))
    return model.state_after(torch.from_numpy(before).to(model.device))


def _pieces(begin: int, end: int, streams: int) -> Iterator[tuple[int, int]]:
    steps = max(1, _PREDICTIONS_AT_ONCE // streams)
    for start in range(begin, end, steps):
        yield start, min(start + steps, end)


def _segments(
    ids: Ids, starts: np.ndarray, begin: int, end: int
) -> tuple[Batch, Int64[np.ndarray, " predictions"]]:
    """Return steps `begin` to `end` of every stream, and the positions of their targets.

    After the end of the text ids repeat, and do not count.
    """
    places = starts + np.arange(begin, end)[:, None]
    inputs = torch.from_numpy(ids[np.clip(places, 0, len(ids) - 1)].astype(np.int64))
    targets = torch.from_numpy(ids[np.clip(places + 1, 0, len(ids) - 1)].astype(np.int64))
    return Batch(inputs, targets, True), (places + 1).flatten()


def zero_first_stream(state: ModelState) -> ModelState:
    """Zero the state of the first stream: the text begins there, so its warm-up was not text."""
    keep = (torch.arange(len(state[0][0]), device=state[0][0].device) > 0).unsqueeze(1)
    return tuple(tuple(tensor * keep for tensor in layer_state) for layer_state in state)
