"""What was drawn to get some items."""

from dataclasses import dataclass
from typing import Any


@dataclass
class ItemCounts:
    """Numbers of draws, and of items among them."""

    drawn: int = 0
    matching: int = 0
    """Draws of an item that has the given beginning, end, length and form."""
    unique: int = 0
    """Different items among the matching draws."""
    new: int | None = None
    """Matching draws that no known text contains; None if nothing is known."""
    items: int = 0
    masked_items: int = 0
    """Items that were drawn with masks: these are not distributed as the model's own."""
    is_masked: bool = False
    """Whether characters are masked by now, because too few draws matched."""

    @property
    def items_per_draw(self) -> float:
        """Return the yield, between 0 and 1."""
        return self.items / max(1, self.drawn)

    def to_json(self) -> dict[str, Any]:
        return {
            "drawn": self.drawn,
            "matching": self.matching,
            "unique": self.unique,
            "new": self.new,
            "items": self.items,
            "masked_items": self.masked_items,
        }
