"""Say in words what a score means, and what it does not show."""

from charlm.formatting import count
from charlm.prediction.perplexity import perplexity

FEWEST_CHARACTERS = 1000
"""Number of scored characters below which chance decides the first digits of a perplexity."""
_MANY = 1e6
_HEART_RATIO = 2.0
"""Perplexity of held-out text, divided by that of the training text, from which a model has
learnt the text rather than the language."""


def choice(value: float, unit: str = "character") -> str:
    """Say what a perplexity means: as unsure as a choice among so many characters."""
    if value >= _MANY:
        return f"as unsure as a choice among more than a million {unit}s"
    digits = 1 if value < 99.95 else 0
    return f"as unsure as a choice among {value:,.{digits}f} {unit}s"


def too_few(characters: int, unit: str = "character") -> str:
    """Say that so few characters measure nothing, or return ""."""
    if characters >= FEWEST_CHARACTERS:
        return ""
    is_one = characters == 1
    return f"{count(characters, unit)} {'is' if is_one else 'are'} too few to measure"


def learnt_by_heart(training_loss: float | None, held_out_loss: float | None) -> str:
    """Say that a model predicts its training text far better than other text, or return "".

    The losses are in nats per character.
    """
    if training_loss is None or held_out_loss is None:
        return ""
    read, other = perplexity(training_loss), perplexity(held_out_loss)
    if other < _HEART_RATIO * read:
        return ""
    return f"learnt by heart: {short(read)} on what it read, {short(other)} on what it did not"


def short(value: float) -> str:
    """Format a perplexity in two or more digits: 1.4, 23, 944."""
    return f"{value:,.1f}" if value < 9.95 else f"{value:,.0f}"
