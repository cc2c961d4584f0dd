"""Print what items have in common with the training items of a model of records."""

from typing import TYPE_CHECKING

from charlm.cli.console import print_message, print_rows, print_table, results

if TYPE_CHECKING:
    from charlm.analysis.item_originality import ItemOriginality

_MOST_NEAREST = 10
"""Number of items that the table shows with their nearest training item."""
_MOST_SHOWN = 40


def show_item_originality(result: "ItemOriginality") -> None:
    """Print the shares, some items with their nearest training item, and the settings."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    has_valid = ["valid"] if result.items.valid is not None else []
    for heading in ("", "items", *has_valid, "different", "new", "median edit distance"):
        table.add_column(heading, justify="right" if heading else "left")
    for one in (result.items, result.held_out):
        if one is not None:
            counted = (*([one.valid] if has_valid else []), one.unique, one.new)
            shares = ["" if share is None else f"{share:.1%}" for share in counted]
            median = "" if one.median_distance is None else f"{one.median_distance:g}"
            table.add_row(one.name, f"{one.items:,}", *shares, median)
    print_table(table)
    if result.nearest:
        results().print("")
        table = Table(box=None, pad_edge=False)
        for heading in ("item", "nearest training item", "edit distance"):
            table.add_column(heading, justify="right" if heading[:4] == "edit" else "left")
        for near in result.nearest[:_MOST_NEAREST]:
            table.add_row(_shown(near.text), _shown(near.nearest), f"{near.distance:,}")
        print_table(table)
        if len(result.nearest) > _MOST_NEAREST:
            print_message(f"the first {_MOST_NEAREST} different items; --json has more")
    results().print("")
    rows = [("verdict", result.verdict)]
    if settings := result.generation:
        drawn = f"seed {settings['seed']}, temperature {settings['temperature']:g}"
        rows.append(("generated", drawn))
    print_rows(rows)


def _shown(text: str) -> str:
    shown = repr(text)[1:-1]
    return shown if len(shown) <= _MOST_SHOWN else f"{shown[: _MOST_SHOWN - 1]}…"
