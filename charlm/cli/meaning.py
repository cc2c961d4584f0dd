"""Say in words what a score means, and what it does not show."""

from charlm.formatting import count
from charlm.prediction.perplexity import Score, perplexity
from charlm.runs.listed_score import FEWEST_CHARACTERS

_MANY = 1e6
_HEART_RATIO = 2.0
"""Ratio of the perplexity of held-out text to that of the training text above which a model
has learnt the text rather than the language."""


def choice(value: float, unit: str = "character") -> str:
    """Say what a perplexity means: as unsure as a choice among that many characters."""
    if value >= _MANY:
        return f"as unsure as a choice among more than a million {unit}s"
    digits = 1 if value < 99.95 else 0
    return f"as unsure as a choice among {value:,.{digits}f} {unit}s"


def with_choice(score: Score, decimals: int, unit: str, most: int | None = None) -> str:
    """Format the perplexity of a score and say what it means, where it means that.

    No choice is among more than `most` characters, the size of the vocabulary. Many unknown
    characters, scored as one symbol, make the perplexity misleading.
    """
    value = score.perplexity
    is_within = most is None or round(value, 1) <= most
    is_choice = is_within and not score.unknown_note
    return f"{value:.{decimals}f}" + (f", {choice(value, unit)}" if is_choice else "")


def too_few(characters: int, unit: str = "character") -> str:
    """Say that these are too few characters to measure anything, or return ""."""
    if characters >= FEWEST_CHARACTERS:
        return ""
    is_one = characters == 1
    return f"{count(characters, unit)} {'is' if is_one else 'are'} too few to measure"


def memorisation_note(training_loss: float | None, held_out_loss: float | None) -> str:
    """Say that a model predicts its training text far better than other text, or return "".

    The losses are in nats per character.
    """
    if training_loss is None or held_out_loss is None:
        return ""
    read, other = perplexity(training_loss), perplexity(held_out_loss)
    if other < _HEART_RATIO * read:
        return ""
    return f"memorised: {short(read)} on its training text, {short(other)} on other text"


def short(value: float) -> str:
    """Format a perplexity in two or more digits: 1.4, 23, 944."""
    return f"{value:,.1f}" if value < 9.95 else f"{value:,.0f}"
