"""The section `ensemble`: the models that one run trains and mixes."""

from typing import Annotated

from pydantic import Field

from charlm.config.sections.section import Section
from charlm.config.values import Decay


class EnsembleConfig(Section):
    """Several models that one run trains, with mixture weights for their predictions."""

    members: Annotated[int, Field(gt=0, le=100)] = 1
    """Number of networks, trained one after another; they share a budget. The first has
    `training.seed`, the others have seeds derived from it, unique to this ensemble."""
    student: Decay = 0.0
    """Fraction of the budget for one more network, the student, whose teachers are the members; 0
    trains none. In `tiny-shakespeare-20m` it predicted better than each teacher (seed 0)."""
    ngram_order: Annotated[int, Field(ge=0, le=10)] | None = None
    """Longest context of the n-gram model in the ensemble, in characters (7 works well); null omits
    the n-grams."""
    word_contexts: bool = False
    """Count characters in contexts of words, too: after the letters of the word so far, alone and
    with one or both of the words before it, within 64 characters. Without `ngram_order` it has no
    effect."""
    line_contexts: bool = False
    """Count characters in contexts of the line above, too: after the character at the same place of
    the same field there, if that line begins within 1,023 characters. A space, a tab, a comma, a
    semicolon or a bar ends a field. So logs and tables are predicted from the lines before. Without
    `ngram_order` it has no effect."""
    match_model: bool = False
    """Predict what followed the latest repetition of the last 12 characters, or else of the last 6,
    weighted by the length of the repetition (up to 32 characters). Without `ngram_order` it has no
    effect."""
    keep_text: bool = True
    """Store the text of the n-grams in the checkpoint, in 1, 2 or 4 bytes a character: the last
    100,000,000 characters of the training split, or fewer if memory or time is short. false stores
    only networks and mixture weights: each time charlm loads the model, it reads the text from its
    path and counts the n-grams again."""

    @property
    def size(self) -> int:
        """Number of networks, the student included."""
        return self.members + (self.student > 0)

    def share(self, number: int) -> float:
        """Return the share of a budget that a network gets; the last may be the student."""
        return self.student if number == self.members else (1 - self.student) / self.members

    @property
    def is_wanted(self) -> bool:
        """Whether there is more than one model."""
        return self.size > 1 or self.ngram_order is not None
