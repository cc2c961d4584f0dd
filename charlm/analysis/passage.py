"""What a full report computes: baselines, the bits of a held-out passage, and originality."""

import math
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np

from charlm.analysis.analysed_text import characters_of
from charlm.analysis.baselines import baselines_of
from charlm.analysis.item_originality import ItemOriginality, item_originality
from charlm.analysis.originality import Originality, originality
from charlm.corpus.corpus import Split
from charlm.prediction.characters import score_ids
from charlm.prediction.predictor import Predictor, load
from charlm.prediction.scored_text import held_out_split
from charlm.runs.training_text import training_corpus

_PASSAGE = 1500
_CONTEXT = 1000
"""Number of ids before the passage that the model reads."""
_SCORED_BY_BASELINES = 100_000
"""Number of ids of the held-out split, its first ones, that the baselines score."""
_ORIGINALITY_SEED = 0
_LEVELS = (1.0, 2.0, 4.0, 6.0, 8.0)
"""Bits from which a character has each next level of colour."""


class ScoredCharacter(NamedTuple):
    """A character of a passage, and how much it surprised the model."""

    text: str
    bits: float

    @property
    def level(self) -> int:
        """From 0, expected, to 5."""
        return sum(self.bits >= least for least in _LEVELS)


@dataclass(frozen=True)
class Details:
    """What was computed for the report of a run."""

    name: str
    split: str
    """The held-out split; "" if there is none."""
    baselines: dict[str, float]
    """Bits per character of simple methods, by name, on the first characters of that split."""
    passage: list[ScoredCharacter]
    originality: Originality | None
    """What generated text copies; None for a model of records."""
    items: ItemOriginality | None = None
    """What generated items have in common with those of the training text, for such a model."""


def compute_details(run: str | PathLike[str], runs: Path = Path("runs")) -> Details:
    """Score a held-out passage and the baselines, and search generated text for copies.

    It takes seconds to a minute. Raises `CharlmError`, such as for a training text that is missing.
    """
    predictor = load(run, runs=runs)
    assert predictor.checkpoint is not None, "it was loaded from a checkpoint"
    remedy = "omit --full, which needs it"
    corpus = training_corpus(predictor.checkpoint, remedy, remedy)
    name, passage, found = held_out_split(corpus), [], {}
    if name is not None:
        split = corpus.splits[name]
        passage = score_passage(predictor, split)
        if len(split) > 1:
            scored = baselines_of(split.ids[:_SCORED_BY_BASELINES], corpus, predictor.vocabulary)
            found = {one.name: one.bits_per_character for one in scored}
    copied = items = None
    if predictor.records is None:
        copied = originality(predictor, seed=_ORIGINALITY_SEED)
    else:
        items = item_originality(predictor, seed=_ORIGINALITY_SEED)
    return Details(Path(run).name, name or "", found, passage, copied, items)


def score_passage(predictor: Predictor, split: Split) -> list[ScoredCharacter]:
    """Return the characters of a passage from the middle of a split, each with its bits."""
    start = max(0, len(split) // 2 - _PASSAGE // 2)
    before = max(0, start - _CONTEXT)
    read = split.part(before, start + _PASSAGE)
    text, starts = characters_of(read, predictor.vocabulary)
    nats = np.append(np.zeros(1, np.float32), score_ids(predictor.model, read.ids).nats)
    bits = np.add.reduceat(nats.astype(np.float64), starts) / math.log(2) if len(starts) else nats
    return [
        ScoredCharacter(character, amount)
        for character, amount, place in zip(text, bits.tolist(), starts.tolist(), strict=True)
        if place >= start - before
    ]
