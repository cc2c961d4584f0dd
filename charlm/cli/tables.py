"""Print results as tables."""

from pathlib import Path

from rich.table import Table

from charlm.bench.figures import Benchmark
from charlm.bench.sweep import Point
from charlm.cli.console import print_message, print_rows, print_table, results
from charlm.cli.meaning import choice, learnt_by_heart, too_few
from charlm.prediction.perplexity import Score


def show_score(
    text: str, score: Score, unit: str = "character", training_loss: float | None = None
) -> None:
    """Print the table of `charlm eval`; `unit` is what the model predicts.

    `training_loss`, in nats, is that of the text from which the scored text was held out.
    """
    by_heart = learnt_by_heart(training_loss, score.nats_per_character)
    notes = [note for note in (too_few(score.characters, unit), by_heart) if note]
    print_rows(
        [
            ("text", text),
            ("perplexity", f"{score.perplexity:.4f}, {choice(score.perplexity, unit)}"),
            ("loss", losses(score)),
            ("bits per byte", f"{score.bits_per_byte:.4f}"),
            ("characters scored", f"{score.characters:,}"),
            ("unknown characters", f"{score.unknown_characters:,}"),
            ("protocol", score.protocol),
            *(("note", note) for note in notes),
        ]
    )


def losses(score: Score) -> str:
    """Return the loss of a score in nats and in bits."""
    return f"{score.nats_per_character:.4f} nats, {score.bits_per_character:.4f} bits per character"


def bits_per_byte(name: str, score: Score) -> list[tuple[str, str]]:
    """Return the row of bits per byte, which includes unknown characters, if there are any."""
    if not score.unknown_characters:
        return []
    return [(f"{name} bits per byte", f"{score.bits_per_byte:.4f} (unknown characters included)")]


def unknown_note(score: Score) -> str:
    """Return how many of the scored characters are not in the vocabulary, if there are any."""
    return f", {score.unknown_characters:,} unknown" if score.unknown_characters else ""


def show_benchmark(benchmark: Benchmark) -> None:
    """Print the tables of `charlm bench`."""
    machine = [(name, str(value)) for name, value in benchmark.machine.items()]
    rates = [(name, f"{rate:,.0f}") for name, rate in benchmark.rates.items()]
    ratios = [(name, f"{ratio:.2f}") for name, ratio in benchmark.ratios.items()]
    print_rows(machine)
    for heading, rows in (
        ("characters per second, unless named otherwise", rates),
        ("ratios", ratios),
    ):
        results().print(f"\n{heading}")
        print_rows(rows)


def show_slowdowns(slowdowns: dict[str, tuple[float, float]]) -> None:
    """Print the ratios that `charlm bench --check` found to be lower."""
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


def show_texts(rows: list[tuple[str, str, str]], folder: Path) -> None:
    """Print the table of `charlm data list`."""
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "here", "text"):
        table.add_column(heading)
    for row in rows:
        table.add_row(*row)
    print_table(table)
    print_message(f"cache: {folder}")
