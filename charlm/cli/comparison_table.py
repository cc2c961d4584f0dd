"""Print a comparison of models: a row for each, then what the differences show."""

from rich.table import Table

from charlm.analysis.compared import Comparison
from charlm.cli.console import print_table, results


def show_comparison(comparison: Comparison) -> None:
    """Print the figures and differences, the verdicts, and how they were computed."""
    has_seeds = any(one.deviation is not None for one in comparison.compared)
    table = Table(box=None, pad_edge=False)
    table.add_column("run")
    headings = [f"bits per {comparison.unit}", *["± seeds"] * has_seeds]
    for heading in (*headings, "difference", "95 % interval"):
        table.add_column(heading, justify="right")
    for number, one in enumerate(comparison.compared):
        seeds = "" if one.deviation is None else f"± {one.deviation:.4f}"
        difference = f"{one.difference:+.4f}" if number else ""
        ends = "" if one.interval is None else "{:+.4f} to {:+.4f}".format(*one.interval)
        table.add_row(one.name, f"{one.mean:.4f}", *[seeds] * has_seeds, difference, ends)
    print_table(table, ("± seeds",), keeps_names=True)
    console = results()
    console.print()
    for verdict in comparison.verdicts:
        console.print_wrapped(verdict)
    if further := comparison.further_differences:
        console.print_wrapped(further)
    if comparison.reason:
        console.print_wrapped(f"compared in bits per byte: {comparison.reason}")
    scored = f"{comparison.characters:,} characters"
    if comparison.records is not None:
        scored = f"{comparison.records:,} records, {scored}; bootstrap of records, paired"
    elif blocks := block_lengths(comparison):
        scored += f"; bootstrap of paired differences, in blocks of {blocks}"
    console.print_wrapped(scored)
    protocols: dict[str, list[str]] = {}
    for one in comparison.compared:
        for score in one.scores:
            names = protocols.setdefault(score.protocol, [])
            names += [one.name] * (one.name not in names)
    for protocol, whose in protocols.items():
        of = f" of {', '.join(whose)}" if len(protocols) > 1 else ""
        console.print_wrapped(f"protocol{of}: {protocol}")


def block_lengths(comparison: Comparison) -> str:
    """Return the block length of all differences, or the least and the largest."""
    lengths = sorted({one.block_length for one in comparison.compared if one.block_length})
    return " to ".join(f"{length:,}" for length in (*lengths[:1], *lengths[1:][-1:]))
