"""Every bar, table and colour: results go to standard output, all else to standard error."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, TextIO, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from charlm.benchmark import Benchmark
from charlm.corpus import Corpus
from charlm.evaluator import Score, perplexity, protocol
from charlm.kernels import compiler
from charlm.reports import (
    Advised,
    Finished,
    Report,
    RolledBack,
    Sampled,
    Started,
    Stepped,
    Stopping,
    StopRequested,
    Validated,
)
from charlm.sweep import Point
from charlm.terminal import for_terminal

_SMOOTHING = 0.95
"""How slowly the bar's loss follows the loss of the steps."""


class _Console(Console):
    """Prints text as it is: no markup and no emoji in it, and no orders to a terminal."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, soft_wrap=True, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(for_terminal(text, cast("TextIO", self.file)), **options)


class TrainingView:
    """Shows a run as it goes on: one bar on a terminal, one line a validation elsewhere."""

    def __init__(self, quiet: bool = False) -> None:
        self._messages = _Console(stderr=True, quiet=quiet)
        self._results = _results()
        self._quiet = quiet
        self._bar: tqdm[NoReturn] | None = None
        self._loss: float | None = None
        self._began_at = 0.0
        """Progress when this process took the run up."""

    def __call__(self, report: Report) -> None:
        match report:
            case Advised():
                for reason in report.reasons:
                    self._messages.print(reason)
            case Started():
                self._start(report)
            case Stepped():
                self._step(report)
            case Validated():
                self._validated(report)
            case Sampled():
                self._sampled(report)
            case RolledBack():
                self._print_above(
                    f"{report.reason}; back to step {report.step:,}, with the learning rate times "
                    f"{report.learning_rate_scale:g}",
                    style="bold",
                )
            case StopRequested():
                self._stop_requested()
            case Stopping():
                self.close()
                self._messages.print("stopped and saved; go on with", style="bold")
                self._messages.print(f"  charlm train --resume {report.run.folder}")
                self._results.print(str(report.run.folder))
            case Finished():
                self.close()
                self._finished(report)

    def _start(self, report: Started) -> None:
        self.close()  # of the member before, in an ensemble
        for line in (_describe_corpus(report.corpus), _describe_model(report)):
            self._messages.print(line)
        where = f"at step {report.resumed_at} " if report.resumed_at else ""
        self._messages.print(f"training {where}in {report.run.folder}")
        if report.progress >= 1:
            self._messages.print(
                "it has reached its end; raise --budget, or --set training.epochs or training.steps"
            )
        if not self._quiet and sys.stderr.isatty():
            self._bar = tqdm(
                total=1.0,
                bar_format="{percentage:3.0f}%|{bar}| {desc}",
                file=sys.stderr,
                dynamic_ncols=True,
                leave=False,
            )

    def _step(self, report: Stepped) -> None:
        step = report.step
        mixed = step.loss if self._loss is None else self._loss
        self._loss = _SMOOTHING * mixed + (1 - _SMOOTHING) * step.loss
        if self._bar is None:
            return
        if self._bar.n == 0:
            self._began_at = report.progress
            self._bar.initial = report.progress
        self._bar.set_description_str(
            f"step {step.step:,} · loss {self._loss:.3f} · "
            f"perplexity {perplexity(self._loss):.2f} · "
            f"{step.characters / step.step_seconds:,.0f} characters/s · "
            f"{self._time_left(report)} left",
            refresh=False,
        )
        self._bar.update(min(1.0, report.progress) - self._bar.n)

    def _time_left(self, report: Stepped) -> str:
        done = report.progress - self._began_at
        elapsed: float = self._bar.format_dict["elapsed"] if self._bar is not None else 0.0
        return duration(elapsed / done * (1 - report.progress)) if done > 0 else "?"

    def _stop_requested(self) -> None:
        """Write past all buffers: a signal may come in the middle of writing to them."""
        if not self._quiet:
            with suppress(OSError, ValueError):
                os.write(sys.stderr.fileno(), b"\nsaving; Ctrl-C again stops at once, unsaved\n")

    def _validated(self, report: Validated) -> None:
        score = report.score
        self._print_above(
            f"step {report.step:>6,}  validation loss {score.nats_per_character:.4f}  "
            f"perplexity {score.perplexity:.3f}  {score.bits_per_character:.3f} bits/character"
            + ("  (best)" if report.is_best else ""),
            style="bold" if report.is_best else "",
        )

    def _sampled(self, report: Sampled) -> None:
        if self._bar is not None:
            self._print_above(report.text, style="dim")

    def _print_above(self, text: str, style: str) -> None:
        if self._bar is not None:
            self._bar.clear()
        self._messages.print(text, style=style)
        if self._bar is not None:
            self._bar.refresh()

    def close(self) -> None:
        """Leave the terminal as it was, whatever ended the run."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _finished(self, report: Finished) -> None:
        if not self._quiet:
            self._results.print(report.sample, end="\n\n")
            self._results.print(_table(_summary(report)))
        self._results.print(str(report.run.folder))


def _describe_corpus(corpus: Corpus) -> str:
    parts = corpus.parts
    sizes = [f"{len(parts[name]):,} {name}" for name in parts if len(parts[name])]
    unknown = sum(part.num_unknown for part in parts.values())
    outside = f"; {unknown:,} characters are outside it" if unknown else ""
    return f"text: {', '.join(sizes)}; vocabulary of {len(corpus.vocabulary):,}{outside}"


def _describe_model(report: Started) -> str:
    config, model = report.config.model, report.model
    layers = f"{config.num_layers} layer{'s' if config.num_layers > 1 else ''}"
    return (
        f"model: {config.cell}, {layers} of {config.hidden_size}, "
        f"{model.num_parameters:,} parameters on {_describe_engine(report)}"
    )


def _describe_engine(report: Started) -> str:
    model, training = report.model, report.config.training
    if model.device.type != "cpu":
        return model.device.type
    threads = f"{training.threads} thread{'' if training.threads == 1 else 's'}"
    equations = report.config.model.implementation == "equations"
    engine = "the equations" if equations else compiler.description()
    return f"the CPU: {engine}, {model.precision}, {threads}"


def _summary(report: Finished) -> list[tuple[str, str]]:
    rate = report.characters / report.seconds if report.seconds else 0.0
    rows = [
        (
            "trained",
            f"{report.step:,} steps, {report.epochs:.2f} epochs, {report.characters:,} characters "
            f"in {duration(report.seconds)} ({rate:,.0f} a second)",
        ),
        ("parameters", f"{report.num_parameters:,}"),
    ]
    if report.training_loss is not None:
        loss = f"{perplexity(report.training_loss):.3f} (mean over the last epoch, while learning)"
        rows.append(("training perplexity", loss))
    if report.held_out is not None:
        name, score = report.held_out
        rows += [
            (
                f"{name} perplexity",
                f"{score.perplexity:.3f} (best checkpoint, step {report.best_step:,})",
            ),
            (f"{name} loss", _losses(score)),
            (
                f"{name} characters",
                f"{score.characters:,}{_unknown(score)}, {protocol(report.held_out_rows)}",
            ),
        ]
    return rows


def show_score(what: str, score: Score, how: str) -> None:
    """Print the table of `charlm eval`; `how` is the protocol."""
    _results().print(
        _table(
            [
                ("text", what),
                ("perplexity", f"{score.perplexity:.4f}"),
                ("loss", _losses(score)),
                ("bits per byte", f"{score.bits_per_byte:.4f}"),
                ("characters scored", f"{score.characters:,}"),
                ("unknown characters", f"{score.unknown_characters:,}"),
                ("protocol", how),
            ]
        )
    )


def _losses(score: Score) -> str:
    return f"{score.nats_per_character:.4f} nats, {score.bits_per_character:.4f} bits per character"


def _unknown(score: Score) -> str:
    return f", {score.unknown_characters:,} unknown" if score.unknown_characters else ""


def show_benchmark(benchmark: Benchmark) -> None:
    """Print the tables of `charlm bench`."""
    machine = [(name, str(value)) for name, value in benchmark.machine.items()]
    rates = [(name, f"{rate:,.0f}") for name, rate in benchmark.rates.items()]
    ratios = [(name, f"{ratio:.2f}") for name, ratio in benchmark.ratios.items()]
    _results().print(_table(machine))
    for heading, rows in (("characters a second, or as named", rates), ("ratios", ratios)):
        _results().print(f"\n{heading}")
        _results().print(_table(rows))


def show_losses(losses: dict[str, tuple[float, float]]) -> None:
    """Print what has become slower, as `charlm bench --check` found."""
    for name, (before, now) in losses.items():
        message(f"slower: {name} was {before:.2f} and is {now:.2f}")


def show_sweep(points: list[Point]) -> None:
    """Print the table of `charlm bench --sweep`."""
    table = Table(box=None, pad_edge=False)
    for heading in ("cell", "layers", "hidden", "batch", "length"):
        table.add_column(heading, justify="right")
    for heading in ("characters/s", "plain loop", "MB a step", "plain loop"):
        table.add_column(heading, justify="right")
    for point in points:
        table.add_row(
            *(str(size) for size in point.sizes),
            f"{point.rate:,.0f}",
            f"{point.plain_rate:,.0f}",
            f"{point.peak_bytes / 1e6:,.1f}",
            f"{point.plain_peak_bytes / 1e6:,.1f}",
        )
    _results().print(table)


def show_texts(rows: list[tuple[str, str, str]], folder: Path) -> None:
    """Print the table of `charlm data list`."""
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "here", "text"):
        table.add_column(heading)
    for row in rows:
        table.add_row(*row)
    _results().print(table)
    message(f"cache: {folder}")


class TransferView:
    """Shows how much of a download has arrived, on a terminal."""

    def __init__(self, name: str, size: int, quiet: bool = False) -> None:
        hidden = quiet or not sys.stderr.isatty()
        self._bar = tqdm(
            desc=for_terminal(name, sys.stderr),
            total=size,
            unit="B",
            unit_scale=True,
            disable=hidden,
        )

    def __call__(self, size: int) -> None:
        self._bar.update(size)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bar.close()


def message(text: str) -> None:
    """Print a line for the person at the terminal, out of the way of results."""
    _Console(stderr=True).print(text)


def _results() -> Console:
    """Return a console for results: as wide as the terminal, and wide where there is none."""
    width = None if sys.stdout.isatty() else 160
    return _Console(width=width)


def _table(rows: list[tuple[str, str]]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, value in rows:
        table.add_row(name, value)
    return table


def duration(seconds: float) -> str:
    """Write a time as 0:42, 3:05 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
