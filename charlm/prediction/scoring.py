"""How well a model predicts a text: nats and characters, summed once and divided once."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from charlm.corpus.batches import Batch
from charlm.corpus.corpus import Part
from charlm.corpus.known_characters import MOST_UNKNOWN
from charlm.corpus.overlaps import Overlap
from charlm.corpus.vocabulary import NUM_CODE_POINTS, Ids
from charlm.distributed.processes import Processes
from charlm.errors import CorpusError, DivergenceError
from charlm.kernels.loading import Precision, computing_in
from charlm.models.ensemble import AnyModel
from charlm.models.language_model import ModelState

_CHUNK = 1 << 12
"""Predictions read at once, rows × steps: it bounds memory and changes no result."""
WARM_UP = 256
"""Characters of context that each row but the first reads before it scores any."""


@dataclass(frozen=True)
class Score:
    """Totals over a text; the properties divide them."""

    nats: float
    """Sum of −ln p(character | every character before it)."""
    characters: int
    """Characters predicted: all but the first of the text."""
    bytes: int
    """UTF-8 bytes of those characters (as they are, with `unit: byte`)."""
    unknown_characters: int
    """Predicted characters outside the vocabulary, scored as the unknown symbol."""
    protocol: str = ""
    """How the text was scored, and what biases the score."""
    overlaps: tuple[Overlap, ...] = ()
    """How much of the text the model has seen in training."""

    @property
    def unknown_note(self) -> str:
        """Warn, after the protocol, if unknown characters make the perplexity misleading."""
        share = self.unknown_characters / self.characters
        if share <= MOST_UNKNOWN:
            return ""
        return (
            f"; {share:.0%} of the characters are outside the vocabulary, and perplexity counts "
            "them as one symbol: compare bits per byte"
        )

    @property
    def nats_per_character(self) -> float:
        return self.nats / self.characters

    @property
    def perplexity(self) -> float:
        """Return exp of the mean cross-entropy: 1 at best, the vocabulary size for a guess."""
        return perplexity(self.nats_per_character)

    @property
    def bits_per_character(self) -> float:
        return self.nats_per_character / math.log(2)

    @property
    def bits_per_byte(self) -> float:
        """Return what a compressor would write; it has to name each unknown character, too."""
        named = self.unknown_characters * math.log2(NUM_CODE_POINTS)
        return (self.nats / math.log(2) + named) / self.bytes

    def checked(self, name: str) -> "Score":
        """Return this score; raises `DivergenceError` if its nats are not finite."""
        if not math.isfinite(self.nats):
            raise DivergenceError(
                f"{name}: the loss is {self.nats}, because the model's output is not finite; use "
                "another checkpoint, or train at a lower training.learning_rate"
            )
        return self

    def to_json(self) -> dict[str, Any]:
        """Return all of it; numbers that are not finite, of which JSON has none, are None."""
        numbers = {
            "nats_per_character": self.nats_per_character,
            "perplexity": self.perplexity,
            "bits_per_character": self.bits_per_character,
            "bits_per_byte": self.bits_per_byte,
            "characters": self.characters,
            "unknown_characters": self.unknown_characters,
        }
        return {name: x if math.isfinite(x) else None for name, x in numbers.items()}


def perplexity(nats_per_character: float) -> float:
    """Return exp of a mean cross-entropy, infinite where it is past the largest float."""
    try:
        return math.exp(nats_per_character)
    except OverflowError:
        return math.inf


def effective_rows(length: int, rows: int) -> int:
    """Return how many rows a text of `length` is read in: no row is shorter than its warm-up."""
    return max(1, min(rows, (length - 1) // WARM_UP))


@dataclass(frozen=True)
class Rows:
    """Divide a text into rows that are scored side by side.

    A row reads the character at its start, and scores the `length` characters after it.
    """

    starts: Int64[np.ndarray, " rows"]
    length: int
    size: int
    """Characters of the whole text."""

    @classmethod
    def of(cls, size: int, rows: int, characters: int | None = None) -> "Rows":
        """Cut a text of `size` characters into rows, or take `characters` of it, spread evenly."""
        if characters is None or size - 1 <= characters:
            rows = effective_rows(size, rows)
            length = step = -(-(size - 1) // rows)
        else:
            rows = effective_rows(characters + 1, rows)
            length, step = characters // rows, (size - 1) // rows
        return cls(np.arange(rows) * step, length, size)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Return the range of the scored characters of each row."""
        bounds = np.stack([self.starts + 1, self.starts + 1 + self.length], axis=1)
        return [(start, end) for start, end in np.minimum(bounds, self.size).tolist()]


def protocol(rows: int, precision: Precision) -> str:
    """Describe how a model of this precision reads a text in `rows` rows."""
    if rows == 1:
        return "exact: state carried through the whole text"
    products = "" if precision == "float32" else f", products in {precision}"
    known = f"each but the first with {WARM_UP} characters of context"
    return f"approximate: {rows} rows, {known}{products}"


def evaluate_part(
    model: AnyModel,
    part: Part,
    rows: int = 1,
    processes: Processes | None = None,
    characters: int | None = None,
) -> Score:
    """Score a text: every character but the first exactly once.

    With one row the state is carried through the whole text, in float32, which is exact. With more,
    the text is cut into rows that are read side by side: faster, and an approximation,
    because each but the first knows only the `WARM_UP` characters before it, and products are in
    the model's own precision. If a text is longer than `characters`, only about that number is
    scored, in rows spread evenly over it. `processes` share the rows. Raises `CorpusError` for a
    text of fewer than two characters.
    """
    cut = Rows.of(len(part), rows, characters)
    return score_of(part, lambda: _total_nats(model, part.ids, cut, processes), cut)


def score_of(part: Part, total: Callable[[], float], rows: Rows | None = None) -> Score:
    """Return the score of a text, or of rows of it, whose nats `total` computes.

    Raises `CorpusError` for a text of fewer than two characters.
    """
    if len(part) < 2:
        raise CorpusError(f"a text of {len(part)} characters has none to predict; give more text")
    spans = rows.spans if rows is not None else [(1, len(part))]
    measures = [part.measure(start, end) for start, end in spans]
    characters = sum(end - start for start, end in spans)
    return Score(
        total(),
        characters,
        bytes=sum(size for size, _ in measures),
        unknown_characters=sum(unknown for _, unknown in measures),
    )


def total_nats(
    model: AnyModel, ids: Ids, rows: int = 1, processes: Processes | None = None
) -> float:
    """Return the sum of −ln p over every id but the first, read in `rows` rows."""
    return _total_nats(model, ids, Rows.of(len(ids), rows), processes)


@torch.inference_mode()
def _total_nats(model: AnyModel, ids: Ids, rows: Rows, processes: Processes | None) -> float:
    processes = processes or Processes()
    was_training = model.training
    model.eval()
    with computing_in("float32" if len(rows) == 1 else model.precision):
        total = _nats_of_share(model, ids, rows, processes.share(len(rows)))
    model.train(was_training)
    return processes.sum(total)


def _nats_of_share(model: AnyModel, ids: Ids, cut: Rows, mine: range) -> float:
    """Return the sum over some of the rows."""
    if not mine:
        return 0.0
    rows, length = len(cut), cut.length
    starts = cut.starts[mine.start : mine.stop]
    state = model.initial_state(len(mine))
    if rows > 1:
        for begin, end in _chunks(-WARM_UP, 0, rows):
            batch, _ = _stretches(ids, starts, begin, end)
            _, state = model(batch.inputs.to(model.device), state)
        if 0 in mine:
            state = _forget_first_row(state)
    total = 0.0
    for begin, end in _chunks(0, length, rows):
        batch, scored = _stretches(ids, starts, begin, end)
        logits, state = model(batch.inputs.to(model.device), state)
        total += _sum_nats(logits, batch.targets.to(model.device), scored.to(model.device))
    return total


def _chunks(begin: int, end: int, rows: int) -> Iterator[tuple[int, int]]:
    steps = max(1, _CHUNK // rows)
    for start in range(begin, end, steps):
        yield start, min(start + steps, end)


def _stretches(ids: Ids, starts: np.ndarray, begin: int, end: int) -> tuple[Batch, Tensor]:
    """Cut steps `begin` to `end` of every row; past the end, ids repeat and are not scored."""
    places = starts + np.arange(begin, end)[:, None]
    inputs = torch.from_numpy(ids[np.clip(places, 0, len(ids) - 1)].astype(np.int64))
    targets = torch.from_numpy(ids[np.clip(places + 1, 0, len(ids) - 1)].astype(np.int64))
    return Batch(inputs, targets, True), torch.from_numpy(places + 1 < len(ids))


def _sum_nats(
    logits: Float[Tensor, "time rows vocabulary"],
    targets: Int64[Tensor, "time rows"],
    scored: Tensor,
) -> float:
    nats = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none")
    # Summed on the CPU: Apple's GPUs have no double precision.
    return float(nats.masked_select(scored.flatten()).cpu().sum(dtype=torch.float64))


def _forget_first_row(state: ModelState) -> ModelState:
    """Zero the state of the first row: nothing stands before it, whatever it read as warm-up."""
    others = (torch.arange(len(state[0][0]), device=state[0][0].device) > 0).unsqueeze(1)
    return tuple(tuple(tensor * others for tensor in layer_state) for layer_state in state)
