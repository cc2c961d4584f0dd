"""Show what a text copies from the training text."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charlm.analysis.originality import Originality

_LONGEST_SHOWN = 48
"""Number of characters of a span that the table shows."""


def show_originality(result: "Originality") -> None:
    """Print the shares in copied spans, the longest spans, and the verdict."""
    from rich.table import Table

    from charlm.analysis.copying_verdict import SPAN_LENGTHS
    from charlm.cli.console import print_rows, print_table, results

    table = Table(box=None, pad_edge=False)
    for heading in (
        "in copied spans of at least",
        *map(str, SPAN_LENGTHS),
        "longest",
        "characters",
    ):
        table.add_column(heading, justify="left" if heading[:2] == "in" else "right")
    for one in (result.text, result.held_out):
        if one is not None:
            shares = [f"{one.shares[least]:.1%}" for least in SPAN_LENGTHS]
            table.add_row(one.name, *shares, f"{one.longest:,}", f"{one.characters:,}")
    print_table(table)
    spans = [span for span in result.spans if span.length >= SPAN_LENGTHS[0]]
    if spans:
        results().print("")
        table = Table(box=None, pad_edge=False)
        short = _short_names({span.training_file for span in spans if span.training_file})
        for heading in ("longest spans", "training line", "text"):
            table.add_column(heading, justify="left" if heading == "text" else "right")
        for span in spans:
            line = "" if span.training_line is None else f"{span.training_line:,}"
            if span.training_file is not None:
                line = ":".join(filter(None, (short[span.training_file], line)))
            table.add_row(f"{span.length:,}", line, _in_one_line(span.text))
        print_table(table)
    results().print("")
    rows = [("verdict", result.verdict)]
    if result.generation:
        settings = result.generation
        rows.append(
            ("generated", f"seed {settings['seed']}, temperature {settings['temperature']:g}")
        )
    if result.unsearched:
        names = ", ".join(result.unsearched)
        rows.append(("not searched", f"{names}; the model has learnt from these, too"))
    print_rows(rows)


def _short_names(paths: set[str]) -> dict[str, str]:
    """Return the name of each file without its folder, unless two have the same."""
    names = [Path(path).name for path in paths]
    return {path: path if names.count(Path(path).name) > 1 else Path(path).name for path in paths}


def _in_one_line(text: str) -> str:
    shown = repr(text)[1:-1]
    return shown if len(shown) <= _LONGEST_SHOWN else f"{shown[: _LONGEST_SHOWN - 1]}…"
