"""Say in words how many items are copied, and how near they are to training items."""

from dataclasses import dataclass
from typing import Any

from charlm.formatting import count

_MUCH, _SOME = 0.2, 0.02
"""Shares of training items among the different ones, for "much" and "some"."""
_FEWER_DIFFERENT = 0.2
"""How far the share of different items is below that of real items before it is named."""
_FEWEST_ITEMS = 100
"""Number of items below which the shares say little."""


@dataclass(frozen=True)
class ItemShares:
    """Shares of some items; a share of nothing is None."""

    name: str
    items: int
    valid: float | None
    """Share that matches the pattern; None without one."""
    unique: float | None
    """Different ones, as a share of the valid ones."""
    new: float | None
    """Share of the different ones that the training split does not contain."""
    median_distance: float | None
    """Median of the edit distances to the nearest training items, of those that were searched."""

    def __str__(self) -> str:
        shares = {
            "valid": self.valid,
            "different": self.unique,
            "not in the training split": self.new,
        }
        figures = [f"{share:.1%} {what}" for what, share in shares.items() if share is not None]
        if self.median_distance is not None:
            figures.append(f"median edit distance to the nearest {self.median_distance:g}")
        return f"{self.name}: {', '.join([count(self.items, 'item'), *figures])}"

    def to_json(self) -> dict[str, Any]:
        """Return its entries in the output of `--json`."""
        return {
            "name": self.name,
            "items": self.items,
            "valid": self.valid,
            "unique": self.unique,
            "new": self.new,
            "median_distance": self.median_distance,
        }


def verdict_of_items(items: ItemShares, held_out: ItemShares | None) -> str:
    """Return a sentence on what items have in common with the training items.

    Held-out items do not show how many copies are ordinary, because equal records are in one
    split. They show how near to training items real items are, and how often these are repeated.
    """
    if items.new is None or items.unique is None:
        return "there is no valid item to compare"
    copied = 1 - items.new
    share = f"{copied:.1%} of the different items are training items"
    if copied >= _SOME:
        words = f"{'much' if copied >= _MUCH else 'some'} is copied: {share}"
    else:
        words = f"original: {share}"
    if held_out is not None:
        words += _beside_real(items, held_out)
    if items.items < _FEWEST_ITEMS:
        words += f"; {count(items.items, 'item')} say little"
    return words


def _beside_real(items: ItemShares, held_out: ItemShares) -> str:
    """Compare distances and repetitions with those of real items."""
    words = ""
    if items.median_distance is not None and held_out.median_distance is not None:
        nearer = items.median_distance < held_out.median_distance
        words += (
            f"; the items are {'nearer' if nearer else 'no nearer'} to training items than real "
            f"items are (median edit distance {items.median_distance:g}, of real items "
            f"{held_out.median_distance:g})"
        )
    mine, real = items.unique, held_out.unique
    if mine is not None and real is not None and mine < real - _FEWER_DIFFERENT:
        words += f"; only {mine:.0%} are different, of real items {real:.0%}"
    return words
