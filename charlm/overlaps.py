"""How much of a text that is scored a model has seen before: what its score has to say with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from charlm.corpus import Corpus, Part, PartName
from charlm.provenance import LEARNT, Record, Through, Use
from charlm.shingles import count_common
from charlm.vocabulary import Vocabulary

_WORTH_SAYING = {"learnt from": 0.01, "followed": 0.01, "chosen on": 0.1, "fitted on": 0.1}
_UNFAIR, _UNFAIR_REPETITION = 0.1, 0.5
"""Of a text that was learnt from; of one that was kept apart, but repeats the rest of its text."""
_VERBS = {
    "learnt from": "learnt from",
    "followed": "learnt, as it was scored, from",
    "chosen on": "was chosen on",
    "fitted on": "was fitted on",
}
_FEW = 20
"""Passages compared: a share of fewer is not given as a number."""


@dataclass(frozen=True)
class Overlap:
    """How much of a scored text the model has seen, in one of its records."""

    name: str
    use: Use
    through: Through
    share: float
    passages: int | None
    """Compared, for an estimate; none where the share is exact."""
    is_repetition: bool
    """Whether it is another part of the same text, which repeats itself."""

    @property
    def is_worth_saying(self) -> bool:
        """Whether it tells anything of a score; that a text repeats itself is told once."""
        repeats_only = self.is_repetition and self.use not in LEARNT
        return self.share > _WORTH_SAYING[self.use] and not repeats_only

    @property
    def is_unfair(self) -> bool:
        """Whether a score of the text says little about other texts."""
        limit = _UNFAIR_REPETITION if self.is_repetition else _UNFAIR
        return self.use in LEARNT and self.share >= limit

    def describe(self) -> str:
        """Say it in a few words."""
        models = {"": "", "teacher": "a teacher", "start": "the model that it started from"}
        actors = {"chosen on": "the checkpoint", "fitted on": "the mixture"}
        actor = models[self.through] or actors.get(self.use, "the model")
        verb = _VERBS[self.use]
        said = f"{actor} {verb} {self._amount()} it"
        if self.is_repetition:
            said = f"{self._amount()} it repeats what {actor} {verb}"
        return f"{'no fair score: ' if self.is_unfair else ''}{said} ({self.name})"

    def _amount(self) -> str:
        if self.passages is None and self.share == 1:
            return "all of"
        if self.passages is not None and self.passages < _FEW:
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


def overlaps(records: Sequence[Record], part: Part, vocabulary: Vocabulary) -> tuple[Overlap, ...]:
    """Return what a model has seen of a text, where that is worth saying."""
    found = [_overlap(one, part, vocabulary) for one in records]
    return tuple(one for one in found if one.is_worth_saying)


def caveats(records: Sequence[Record], found: Sequence[Overlap]) -> str:
    """Say, after the protocol of a score, why it may flatter: nothing, mostly."""
    said = [overlap.describe() for overlap in found]
    others = [one.name for one in records if one.use == "followed"]
    if others and not any(overlap.use == "followed" for overlap in found):
        said.append(f"the model has learnt from {', '.join(others)}, too (eval --dynamic --save)")
    return "".join(f"; {one}" for one in dict.fromkeys(said))


def warnings_of(records: Sequence[Record], corpus: Corpus) -> tuple[str, ...]:
    """Say, before a run, which of its parts the models that it learns from have learnt from."""
    others = [one for one in records if one.through and one.use in LEARNT]
    names: tuple[PartName, ...] = ("validation", "test")
    return tuple(
        f"the {name} part: {overlap.describe()}"
        for name in names
        for overlap in overlaps(others, corpus.parts[name], corpus.vocabulary)
        if not overlap.is_repetition
    )


def _overlap(record: Record, part: Part, vocabulary: Vocabulary) -> Overlap:
    """Compare by ranges, if it is the same text, and by passages."""
    start, length = part.origin.start, len(part)
    is_same = bool(part.origin.digest) and part.origin.digest == record.digest
    common = min(start + length, record.end) - max(start, record.start) if is_same else 0
    share, passages = max(0, common) / max(1, length), None
    if share < 1:
        found, compared = count_common(record.sketch, part.ids, vocabulary)
        if found / max(1, compared) > share:
            share, passages = found / compared, compared
    is_repetition = is_same and common <= 0
    return Overlap(record.name, record.use, record.through, share, passages, is_repetition)
