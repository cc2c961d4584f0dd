"""Print results as tables."""

from pathlib import Path

from rich.table import Table

from charlm.bench.figures import Benchmark
from charlm.bench.sweep import Point
from charlm.cli.console import print_message, print_rows, results
from charlm.formatting import duration
from charlm.prediction.perplexity import Score, perplexity
from charlm.training.events import Finished


def show_finished(event: Finished) -> None:
    """Print the sample and the summary of a finished run."""
    results().print_generated(event.sample, end="\n\n")
    print_rows(_summary(event))


def _summary(event: Finished) -> list[tuple[str, str]]:
    rate = event.characters / event.seconds if event.seconds else 0.0
    rows = [
        (
            "trained",
            f"{event.step:,} steps, {event.epochs:.2f} epochs, {event.characters:,} characters "
            f"in {duration(event.seconds)} ({rate:,.0f} per second)",
        ),
        ("parameters", f"{event.num_parameters:,}"),
    ]
    if event.training_loss is not None:
        loss = f"{perplexity(event.training_loss):.3f} (mean over the last epoch, during training)"
        rows.append(("training perplexity", loss))
    if event.networks:
        rows.append(("validation loss", _network_losses(event)))
    if event.held_out is not None:
        name, score = event.held_out
        rows += [
            (
                f"{name} perplexity",
                f"{score.perplexity:.3f} ({_checkpoint_note(event)})",
            ),
            (f"{name} loss", _losses(score)),
            *_bits_per_byte(name, score),
            (
                f"{name} characters",
                f"{score.characters:,}{_unknown_note(score)}, {event.protocol}",
            ),
        ]
    if event.kept_characters:
        kept = f"contains {event.kept_characters:,} characters of the training text, for n-grams"
        network = f"`charlm generate {event.folder.path / 'member-1'}` uses a network without them"
        rows.append(("checkpoint", f"{kept}; ensemble.keep_text=false omits them, and {network}"))
    return rows


def _network_losses(event: Finished) -> str:
    """Format the loss of each network alone and of the ensemble."""
    losses = [f"{one.best_loss:.4f}" for one in event.networks if one.best_loss is not None]
    if event.best_loss is None or not losses:
        return "none: no validation split to fit the mixture weights, so all are equal"
    return f"{', '.join(losses)} alone, {event.best_loss:.4f} as an ensemble (fitted on this split)"


def _checkpoint_note(event: Finished) -> str:
    if event.networks:
        return "best checkpoint of each"
    return f"best checkpoint, step {event.best_step:,}"


def show_score(text: str, score: Score) -> None:
    """Print the table of `charlm eval`."""
    print_rows(
        [
            ("text", text),
            ("perplexity", f"{score.perplexity:.4f}"),
            ("loss", _losses(score)),
            ("bits per byte", f"{score.bits_per_byte:.4f}"),
            ("characters scored", f"{score.characters:,}"),
            ("unknown characters", f"{score.unknown_characters:,}"),
            ("protocol", score.protocol),
        ]
    )


def _losses(score: Score) -> str:
    return f"{score.nats_per_character:.4f} nats, {score.bits_per_character:.4f} bits per character"


def _bits_per_byte(name: str, score: Score) -> list[tuple[str, str]]:
    """Return the row of bits per byte, which includes unknown characters, if there are any."""
    if not score.unknown_characters:
        return []
    return [(f"{name} bits per byte", f"{score.bits_per_byte:.4f} (unknown characters included)")]


def _unknown_note(score: Score) -> str:
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
    results().print(table)


def show_texts(rows: list[tuple[str, str, str]], folder: Path) -> None:
    """Print the table of `charlm data list`."""
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "here", "text"):
        table.add_column(heading)
    for row in rows:
        table.add_row(*row)
    results().print(table)
    print_message(f"cache: {folder}")
