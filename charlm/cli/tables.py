"""Print results as tables."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from charlm.analysis.baselines import Baseline
from charlm.analysis.intervals import ScoreIntervals
from charlm.bench.busy import BusyRates
from charlm.bench.sweep import Point
from charlm.cli.console import print_message, print_rows, print_table, results
from charlm.cli.meaning import memorisation_note, too_few, with_choice
from charlm.formatting import count
from charlm.prediction.perplexity import Score

_FIGURE_WIDTH = 60
"""Columns of the names of figures: one is printed after another, as they are measured."""


def show_score(
    text: str,
    score: Score,
    unit: str = "character",
    training_loss: float | None = None,
    intervals: ScoreIntervals | None = None,
    vocabulary_size: int | None = None,
    lack: str = "",
) -> None:
    """Print the table of `charlm eval`; `unit` is what the model predicts.

    `training_loss`, in nats, is that of the text from which the scored text was held out. A warning
    about unknown characters stands before the perplexity, which it concerns. `lack` says why there
    are no intervals.
    """
    memorised = memorisation_note(training_loss, score.nats_per_character)
    unknown = [("unknown characters", f"{score.unknown_characters:,}")]
    if unit == "byte":
        unknown = []  # it knows all of them
    notes = [note for note in (too_few(score.characters, unit), memorised) if note]
    print_rows(
        [
            ("text", text),
            *([("warning", warning)] if (warning := score.unknown_note.strip("; ")) else []),
            ("perplexity", with_choice(score, 4, unit, vocabulary_size)),
            ("loss", losses(score, unit)),
            *([("per record", f"{score.nats_per_record:.4f} nats")] if score.records else []),
            *([("bits per byte", f"{score.bits_per_byte:.4f}")] if unit != "byte" else []),
            *([("95 % interval", _ends(intervals, unit))] if intervals else []),
            *([("95 % interval", f"none: the text is {lack}")] if lack else []),
            *([("records scored", f"{score.records:,}")] if score.records else []),
            (f"{unit}s scored", f"{score.characters:,}"),
            *unknown,
            ("protocol", score.protocol.replace(score.unknown_note, "")),
            *(("note", note) for note in notes),
        ]
    )


def show_baselines(score: Score, baselines: Sequence[Baseline], unit: str) -> None:
    """Print the bits per character of the baselines, the best one first, and of the model."""
    if not baselines:
        return
    rows = [(one.bits_per_character, one.name, one.remark) for one in baselines]
    rows.append((score.bits_per_character, "this model", ""))
    results().print(f"\nbits per {unit}, on the same {unit}s")
    print_rows(
        [
            (name, f"{bits:.4f}{f'  ({remark})' if remark else ''}")
            for bits, name, remark in sorted(rows)
        ]
    )


def _ends(intervals: ScoreIntervals, unit: str) -> str:
    """Return the intervals of all figures of a score, and how they were computed."""
    figures = [
        ("perplexity", intervals.perplexity, ""),
        ("loss", intervals.nats_per_character, " nats"),
        ("", intervals.bits_per_character, f" bits per {unit}"),
        *([("", intervals.bits_per_byte, " bits per byte")] if unit != "byte" else []),
    ]
    shown = [f"{name} {low:.4f} to {high:.4f}{of}" for name, (low, high), of in figures]
    blocks = count(intervals.block_length, unit)
    drawn = "records" if intervals.of_records else f"blocks of {blocks}"
    return f"{', '.join(map(str.strip, shown))} (bootstrap of {drawn})"


def losses(score: Score, unit: str) -> str:
    """Return the loss of a score in nats and in bits."""
    return f"{score.nats_per_character:.4f} nats, {score.bits_per_character:.4f} bits per {unit}"


def bits_per_byte(name: str, score: Score) -> list[tuple[str, str]]:
    """Return the row of bits per byte, which includes unknown characters, if there are any."""
    if not score.unknown_characters:
        return []
    return [(f"{name} bits per byte", f"{score.bits_per_byte:.4f} (unknown characters included)")]


def unknown_note(score: Score) -> str:
    """Return how many of the scored characters are not in the vocabulary, if there are any."""
    return f", {score.unknown_characters:,} unknown" if score.unknown_characters else ""


def show_figure(name: str, value: str) -> None:
    """Print a figure of `charlm bench` as soon as it is measured."""
    print_rows([(f"{name:<{_FIGURE_WIDTH}}", value)])
    sys.stdout.flush()


def print_figure_as_message(name: str, value: str) -> None:
    """Print a figure of `charlm bench` to standard error, beside JSON on standard output."""
    print_message(f"{name}: {value}")


def show_slowdowns(slowdowns: dict[str, tuple[float, float]]) -> None:
    """Print the ratios that fell, according to `charlm bench --check`."""
    for name, (saved, measured) in slowdowns.items():
        print_message(f"slower: {name} was {saved:.2f} and is {measured:.2f}")


def show_sweep(points: list[Point]) -> None:
    """Print the table of `charlm bench --sweep`."""
    table = Table(box=None, pad_edge=False)
    for heading in ("cell", "layers", "hidden", "batch", "length"):
        table.add_column(heading, justify="right")
    for heading in ("characters/s", "plain loop", "MB per step", "plain loop"):
        table.add_column(heading, justify="right")
    for point in points:
        table.add_row(
            *(str(size) for size in point.sizes),
            f"{point.rate:,.0f}",
            f"{point.plain_rate:,.0f}",
            f"{point.peak_bytes / 1e6:,.1f}",
            f"{point.plain_peak_bytes / 1e6:,.1f}",
        )
    print_table(table)


def show_busy(rates: list[BusyRates]) -> None:
    """Print the table of `charlm bench --busy`."""
    table = Table(box=None, pad_edge=False)
    for heading in ("training", "characters/s", "beside a busy process", "kept"):
        table.add_column(heading, justify="right")
    for rate in rates:
        table.add_row(rate.precision, f"{rate.quiet:,.0f}", f"{rate.busy:,.0f}", f"{rate.kept:.0%}")
    print_table(table)


def show_texts(rows: list[tuple[str, str, str]], folder: Path) -> None:
    """Print the table of `charlm data list`."""
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "here", "text"):
        table.add_column(heading)
    for row in rows:
        table.add_row(*row)
    print_table(table)
    print_message(f"cache: {folder}")
