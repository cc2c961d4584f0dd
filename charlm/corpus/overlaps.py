"""Measure how much of a scored text the model has seen, and report it with the score."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from charlm.corpus.corpus import Corpus, Split, SplitName
from charlm.corpus.provenance import LEARNT, Record, Through, Use
from charlm.corpus.shingles import count_common
from charlm.corpus.vocabulary import Vocabulary

_MIN_REPORTED_SHARES = {
    "learnt from": 0.01,
    "followed": 0.01,
    "chosen on": 0.1,
    "fitted on": 0.1,
}
"""Fraction of the scored text above which an overlap is reported, for each use."""
_BIASING_SHARE = 0.1
"""Fraction of trained text from which the score of a text is biased."""
_BIASING_REPETITION_SHARE = 0.5
"""Fraction that repeats the training split from which the score of another split is biased."""
_VERBS = {
    "learnt from": "was trained on",
    "followed": "was adapted to",
    "chosen on": "was selected on",
    "fitted on": "was fitted on",
}
_BIAS_LABEL = "biased score: "
_MIN_COMPARED_PASSAGES = 20
"""Number of compared passages below which the description gives no percentage."""


@dataclass(frozen=True)
class Overlap:
    """How much of a scored text the model has seen, in one of its records."""

    name: str
    use: Use
    through: Through
    share: float
    passages: int | None
    """Number of compared passages if the share is an estimate; None if it is exact."""
    is_repetition: bool
    """Whether the scored text is another split of the same text, which repeats itself."""

    @property
    def is_reported(self) -> bool:
        """Whether it matters for a score; the repetition of a text is reported only once."""
        repeats_only = self.is_repetition and self.use not in LEARNT
        return self.share > _MIN_REPORTED_SHARES[self.use] and not repeats_only

    @property
    def is_biased(self) -> bool:
        """Whether a score of the text says little about other texts."""
        limit = _BIASING_REPETITION_SHARE if self.is_repetition else _BIASING_SHARE
        return self.use in LEARNT and self.share >= limit

    def describe(self) -> str:
        """Describe the overlap in a few words."""
        models = {"": "", "teacher": "a teacher", "start": "the initial model"}
        actors = {"chosen on": "the checkpoint", "fitted on": "the mixture"}
        actor = models[self.through] or actors.get(self.use, "the model")
        verb = _VERBS[self.use]
        description = f"{actor} {verb} {self._amount()} it"
        if self.is_repetition:
            description = f"{self._amount()} it repeats text that {actor} {verb}"
        return f"{description} ({self.name})"

    def _amount(self) -> str:
        if self.passages is None and self.share == 1:
            return "all of"
        if self.passages is not None and self.passages < _MIN_COMPARED_PASSAGES:
            return "some of"
        return f"about {self.share:.0%} of".replace("%", " %")

    def to_json(self) -> dict[str, Any]:
        return {
            "text": self.name,
            "use": self.use,
            "through": self.through,
            "share": self.share,
            "passages_compared": self.passages,
            "is_repetition": self.is_repetition,
        }


def overlaps(
    records: Sequence[Record], split: Split, vocabulary: Vocabulary
) -> tuple[Overlap, ...]:
    """Return the overlaps of a text with the records that matter for its score."""
    found = [_overlap(one, split, vocabulary) for one in records]
    return tuple(one for one in found if one.is_reported)


def caveats(records: Sequence[Record], found: Sequence[Overlap]) -> str:
    """Describe what biases a score, to append to its protocol; "" if nothing does."""
    is_biased: dict[str, bool] = {}
    for overlap in found:
        description = overlap.describe()
        is_biased[description] = overlap.is_biased or is_biased.get(description, False)
    adapted = ", ".join(record.name for record in records if record.use == "followed")
    if adapted and not any(overlap.use == "followed" for overlap in found):
        is_biased[f"the model was also adapted to {adapted} (eval --dynamic --save)"] = False
    first = next((description for description, biased in is_biased.items() if biased), None)
    return "".join(f"; {_BIAS_LABEL if one is first else ''}{one}" for one in is_biased)


def warnings_of(records: Sequence[Record], corpus: Corpus) -> tuple[str, ...]:
    """Warn, before a run, of held-out splits that its teachers or initial model were trained on."""
    inherited = [one for one in records if one.through and one.use in LEARNT]
    names: tuple[SplitName, ...] = ("validation", "test")
    return tuple(
        f"the {name} split: {_BIAS_LABEL if overlap.is_biased else ''}{overlap.describe()}"
        for name in names
        for overlap in overlaps(inherited, corpus.splits[name], corpus.vocabulary)
        if not overlap.is_repetition
    )


def _overlap(record: Record, split: Split, vocabulary: Vocabulary) -> Overlap:
    """Compare by character ranges if the texts are the same, and by passages otherwise."""
    start, length = split.origin.start, len(split)
    is_same = bool(split.origin.digest) and split.origin.digest == record.digest
    common = min(start + length, record.end) - max(start, record.start) if is_same else 0
    share, passages = max(0, common) / max(1, length), None
    if share < 1:
        found, compared = count_common(record.sketch, split.ids, vocabulary, split.boundary)
        if found / max(1, compared) > share:
            share, passages = found / compared, compared
    is_repetition = is_same and common <= 0
    return Overlap(record.name, record.use, record.through, share, passages, is_repetition)
