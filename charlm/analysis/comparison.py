"""Compare models on the same characters, with an interval for their difference.

What is hard for one model is mostly hard for another, so that their difference varies far less
than their scores: the bootstrap draws blocks of paired differences (see `block_bootstrap`), or
whole records, which are independent of one another.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from charlm.analysis.analysed_text import characters_of
from charlm.analysis.block_bootstrap import Resampling
from charlm.analysis.compared import Compared, Comparison
from charlm.analysis.compared_models import ComparedModel
from charlm.analysis.intervals import bytes_and_bits
from charlm.config.settings import TextPaths
from charlm.corpus.corpus import Split, SplitName
from charlm.corpus.vocabulary import NUM_CODE_POINTS, code_points
from charlm.errors import CorpusError
from charlm.prediction.evaluation import evaluate_text
from charlm.prediction.perplexity import Score
from charlm.prediction.predictor import Predictor


@dataclass(frozen=True)
class CharacterBits:
    """The bits of each character of a text but the first, by one model."""

    bits: Float64[np.ndarray, " characters"]
    """An unknown character also costs the bits that tell it from all code points."""
    bytes: Float64[np.ndarray, " characters"]
    is_unknown: Bool[np.ndarray, " characters"]
    text: str
    """The characters."""
    unit: str
    """What the model predicts: `character` or `byte`."""
    score: Score
    records: Int64[np.ndarray, " records"] | None = None
    """Where each record begins; None for running text."""
    model: ComparedModel | None = None

    @classmethod
    def of(
        cls,
        predictor: Predictor,
        text: TextPaths = (),
        split: SplitName | None = None,
        rows: int = 1,
    ) -> "CharacterBits":
        """Score a text as `evaluate` does; a byte model gives a character the sum of its bytes."""
        found, score, nats, _ = evaluate_text(predictor, text, split, rows)
        shown, starts = characters_of(found.split, predictor.vocabulary)
        if len(starts) < 2:
            raise CorpusError(f"{found.name}: one character cannot be compared; give more text")
        sizes, bits = bytes_and_bits(nats, found.split)
        unknown = np.zeros(len(found.split), bool)
        unknown[found.split.unknown["place"]] = True
        return cls(
            np.add.reduceat(bits, starts[1:] - 1, dtype=np.float64),
            np.add.reduceat(sizes, starts[1:] - 1, dtype=np.float64),
            unknown[starts[1:]],
            shown[1:],
            predictor.vocabulary.unit,
            score,
            _records(found.split, starts),
            ComparedModel.of(predictor),
        )


def compare(
    models: Mapping[str, Predictor | Sequence[Predictor]],
    *,
    text: TextPaths = (),
    split: SplitName | None = None,
    rows: int = 1,
    seed: int = 0,
) -> Comparison:
    """Compare models by name on files, or on a split of their training text.

    Several models of one name are a group that differs in the seed; its mean is compared. `seed`
    is that of the bootstrap; the other arguments are those of `evaluate`. Raises `CorpusError` if
    the models are not scored on the same characters.
    """
    groups = {
        name: [
            CharacterBits.of(one, text, split, rows)
            for one in ([its] if isinstance(its, Predictor) else its)
        ]
        for name, its in models.items()
    }
    return compare_bits(groups, seed)


def compare_bits(groups: Mapping[str, Sequence[CharacterBits]], seed: int = 0) -> Comparison:
    """Compare the bits of each character; the first group is the one to compare with.

    They are compared as bits per byte, in which unknown characters cost what tells them from all
    others, unless all models predict characters and know the same ones of this text.
    """
    if len(groups) < 2:
        raise CorpusError("a comparison needs two runs or groups; name another one")
    every = list(chain(*groups.values()))
    _check_same_text(groups)
    reason = _why_per_byte(every)
    sizes = every[0].bytes if reason else np.ones(len(every[0].bits))
    records = every[0].records
    if any(not np.array_equal(one.records, records) for one in every):  # type: ignore[arg-type]
        records = None
    compared: list[Compared] = []
    first = np.zeros(0)
    for name, runs in groups.items():
        costs = [_costs(one, is_whole=bool(reason)) for one in runs]
        figures = tuple(float(cost.sum() / sizes.sum()) for cost in costs)
        mean = np.mean(costs, axis=0)
        scores, known = [one.score for one in runs], [one.model for one in runs if one.model]
        row = Compared(name, figures, scores=tuple(scores), models=tuple(known))
        if compared:
            row = _with_difference(row, _Difference(mean - first, sizes, records), seed)
        else:
            first = mean
        compared.append(row)
    return Comparison(
        "byte" if reason else "character",
        reason,
        len(sizes),
        tuple(compared),
        seed,
        None if records is None else len(records),
    )


class _Difference(NamedTuple):
    """The difference of the bits of each character, and what they are divided by."""

    bits: Float64[np.ndarray, " characters"]
    sizes: Float64[np.ndarray, " characters"]
    records: Int64[np.ndarray, " records"] | None


def _records(
    split: Split, starts: Int64[np.ndarray, " characters"]
) -> Int64[np.ndarray, " records"] | None:
    """Return which of the predicted characters each record begins with."""
    if split.boundary is None:
        return None
    return np.flatnonzero(split.ids[starts[:-1]] == split.boundary)


def _with_difference(one: Compared, found: _Difference, seed: int) -> Compared:
    """Return a row with its difference and the interval of that, or why there is no interval."""
    difference, sizes, records = found
    total = float(difference.sum() / sizes.sum())
    if records is None:
        resampling = Resampling.of(difference, seed)
    else:
        difference, sizes = (np.add.reduceat(one, records) for one in (difference, sizes))
        resampling = Resampling.of_records(len(records), seed)
    if resampling.lack:
        return replace(one, difference=total, lack=resampling.lack)
    means, mean_sizes = resampling.means(difference, sizes)
    interval = resampling.interval(total, means / mean_sizes)
    length = resampling.block_length
    return replace(one, difference=total, interval=interval, block_length=length)


def _costs(one: CharacterBits, *, is_whole: bool) -> Float64[np.ndarray, " characters"]:
    """Return the bits of each character, without those that name unknown ones unless `is_whole`."""
    if is_whole:
        return one.bits
    costs: np.ndarray = one.bits - one.is_unknown * math.log2(NUM_CODE_POINTS)
    return costs


def _why_per_byte(every: Sequence[CharacterBits]) -> str:
    units = {one.unit for one in every}
    if len(units) > 1:
        return "some models predict characters, others bytes"
    if units == {"byte"}:
        return "the models predict bytes"
    if any((one.is_unknown != every[0].is_unknown).any() for one in every):
        return "the models know different characters of this text"
    return ""


def _check_same_text(groups: Mapping[str, Sequence[CharacterBits]]) -> None:
    """Raise `CorpusError` unless all models read the same characters, where they know them."""
    named = [(name, one) for name, runs in groups.items() for one in runs]
    first_name, first = named[0]
    points = code_points(first.text)
    for name, one in named[1:]:
        is_known = ~(one.is_unknown | first.is_unknown) if len(one.bits) == len(points) else None
        others = code_points(one.text)
        if is_known is None or (others != points)[is_known].any():
            raise CorpusError(
                f"{first_name} and {name} are scored on different texts, or read one in different "
                "ways; name a text from which neither has learnt with --text (of its training "
                "text, a run scores only what it held out), or compare the bits per byte of "
                "`charlm eval`"
            )
