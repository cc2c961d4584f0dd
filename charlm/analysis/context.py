"""Measure how much history a model uses: its loss after 1, 2, 4 … 1024 characters.

The same characters of a text are predicted after each number. A window begins at the zero state
and ends before its character, so that the state has seen exactly so many. Windows are read side by
side. All counts are in the model's unit: bytes for a byte model.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch.nn import functional as F

from charlm.analysis.block_bootstrap import LEVEL, RESAMPLES, Interval, interval_of_mean
from charlm.analysis.intervals import METHOD
from charlm.config.settings import TextPaths
from charlm.corpus.corpus import SplitName
from charlm.corpus.vocabulary import Ids
from charlm.errors import CorpusError, DivergenceError
from charlm.formatting import count, html_table
from charlm.kernels.loading import computing_in
from charlm.models.ensemble import AnyModel
from charlm.prediction.evaluation import find_text
from charlm.prediction.predictor import Predictor
from charlm.prediction.reading import evaluating

LONGEST_HISTORY = 1024
DEFAULT_TARGETS = 2000
SMALL_GAIN_BITS = 0.01
"""A gain that the verdict calls small."""
_FEWEST_LENGTHS = 3
_WINDOWS_AT_ONCE = 256
_STEPS_AT_ONCE = 64
"""Windows side by side, and steps of them at once; neither changes the result."""


@dataclass(frozen=True)
class HistoryLoss:
    """The loss after a number of characters, and what the last doubling of it gained."""

    history: int
    bits: float
    """Mean −log2 p of the predicted characters."""
    interval: Interval | None
    """None for too few predicted characters, also below."""
    gain: float | None = None
    """Bits that it saves over half the history; None for the shortest."""
    gain_interval: Interval | None = None

    def to_json(self) -> dict[str, Any]:
        """Return its entries in the output of `--json`."""
        return {
            "history": self.history,
            "bits": self.bits,
            "interval": None if self.interval is None else list(self.interval),
            "gain": self.gain,
            "gain_interval": None if self.gain_interval is None else list(self.gain_interval),
        }


@dataclass(frozen=True, repr=False)
class ContextCurve:
    """Losses of the same characters after histories of several lengths, the shortest first."""

    name: str
    """The text."""
    unit: str
    """What the model predicts: `character` or `byte`."""
    targets: int
    """Number of characters predicted after each history."""
    losses: tuple[HistoryLoss, ...]
    limit: str = ""
    """Why the longest history is shorter than 1024; empty if it is not."""
    seed: int = 0
    """Random seed of the bootstrap."""

    @property
    def useful_history(self) -> int:
        """The shortest history beyond which more gains less than `SMALL_GAIN_BITS`."""
        bits = [one.bits for one in self.losses]
        return next(
            one.history
            for place, one in enumerate(self.losses)
            if one.bits - min(bits[place:]) < SMALL_GAIN_BITS
        )

    @property
    def verdict(self) -> str:
        """What the curve says, in a sentence."""
        longest, useful = self.losses[-1], self.useful_history
        per = f"bits per {self.unit}"
        if useful == longest.history:
            return (
                f"this model uses all of {count(useful, self.unit)} of history: the last doubling "
                f"gains {longest.gain:.3f} {per}"
            )
        sentence = (
            f"beyond {count(useful, self.unit)} of history this model gains less than "
            f"{SMALL_GAIN_BITS} {per}"
        )
        best = min(self.losses, key=lambda one: one.bits)
        if longest.bits - best.bits >= SMALL_GAIN_BITS:
            sentence += (
                f"; after {longest.history:,} it is worse than after {best.history:,}, by "
                f"{longest.bits - best.bits:.3f}"
            )
        return sentence

    def __repr__(self) -> str:
        return f"ContextCurve({self.verdict}: {self.name})"

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows."""
        per = f"bits per {self.unit}"
        rows = [(count(one.history, self.unit), f"{one.bits:.4f} {per}") for one in self.losses]
        return html_table([*rows, ("verdict", self.verdict)])

    def to_json(self) -> dict[str, Any]:
        """Return its entries in the output of `--json`."""
        return {
            "text": self.name,
            "unit": self.unit,
            "targets": self.targets,
            "level": LEVEL,
            "method": METHOD,
            "resamples": RESAMPLES,
            "seed": self.seed,
            "losses": [one.to_json() for one in self.losses],
            "useful_history": self.useful_history,
            "verdict": self.verdict,
            "limit": self.limit or None,
        }


def context(
    predictor: Predictor,
    text: TextPaths = (),
    split: SplitName | None = None,
    targets: int = DEFAULT_TARGETS,
    seed: int = 0,
) -> ContextCurve:
    """Measure the loss after histories of 1, 2, 4 … 1024 characters of files, or of a split.

    `targets` characters, spread evenly over the text, are predicted after each history; the longest
    is at most half of the text. `seed` is that of the bootstrap. Raises `CorpusError` for a text
    too short for histories of 4, and `DivergenceError` if the model's output is not finite.
    """
    scored, unit = find_text(predictor, text, split), predictor.vocabulary.unit
    ids = scored.split.ids
    lengths = [1 << k for k in range(LONGEST_HISTORY.bit_length()) if 2 << k < len(ids)]
    if len(lengths) < _FEWEST_LENGTHS:
        raise CorpusError(
            f"{scored.name}: a text of {count(len(ids), unit)} is too short for histories of "
            f"{1 << (_FEWEST_LENGTHS - 1)} {unit}s; give more text"
        )
    limit = ""
    if lengths[-1] < LONGEST_HISTORY:
        limit = (
            f"the text has {count(len(ids), unit)}: a longer history than "
            f"{lengths[-1]:,} would be more than half of it"
        )
    places = spread_evenly(lengths[-1], len(ids), targets)
    bits = [nats_after(predictor.model, ids, places, one) / math.log(2) for one in lengths]
    if not np.isfinite(bits).all():
        raise DivergenceError(
            f"{scored.name}: the model's output is not finite; use another checkpoint, or train at "
            "a lower training.learning_rate"
        )
    name = f"{scored.name} split" if scored.corpus is not None else scored.name
    return ContextCurve(name, unit, len(places), _losses(lengths, bits, seed), limit, seed)


def spread_evenly(first: int, end: int, number: int) -> Int64[np.ndarray, " places"]:
    """Return a number of places from `first` on and before `end`, or all if there are fewer."""
    number = min(number, end - first)
    return first + np.arange(number) * (end - first) // number


@torch.inference_mode()
def nats_after(
    model: AnyModel, ids: Ids, places: Int64[np.ndarray, " places"], history: int
) -> Float64[np.ndarray, " places"]:
    """Return −ln p of the ids at `places` after the `history` ids before each, from zero states."""
    pieces = []
    with evaluating(model), computing_in("float32"):
        for start in range(0, len(places), _WINDOWS_AT_ONCE):
            some = places[start : start + _WINDOWS_AT_ONCE]
            state = model.initial_state(len(some))
            for begin in range(-history, -1, _STEPS_AT_ONCE):
                steps = np.arange(begin, min(begin + _STEPS_AT_ONCE, -1))
                state = model.advance(_ids(model, ids, steps[:, None] + some), state)
            logits, _ = model(_ids(model, ids, some[None] - 1), state)
            targets = _ids(model, ids, some)
            nats = F.cross_entropy(logits[0].float(), targets, reduction="none")
            pieces.append(nats.cpu().numpy().astype(np.float64))
    return np.concatenate(pieces)


def _ids(model: AnyModel, ids: Ids, places: Int64[np.ndarray, "..."]) -> torch.Tensor:
    return torch.from_numpy(ids[places].astype(np.int64)).to(model.device)


def _losses(
    lengths: Sequence[int], bits: Sequence[Float64[np.ndarray, " places"]], seed: int
) -> tuple[HistoryLoss, ...]:
    """Return the mean of each history's bits, and paired gains, with intervals."""
    gains = [None, *(shorter - longer for shorter, longer in pairwise(bits))]
    return tuple(
        HistoryLoss(
            length,
            float(own.mean()),
            interval_of_mean(own, seed)[0],
            None if gain is None else float(gain.mean()),
            None if gain is None else interval_of_mean(gain, seed)[0],
        )
        for length, own, gain in zip(lengths, bits, gains, strict=True)
    )
