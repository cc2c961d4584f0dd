"""Choose the samples that are shown during training: few and short, each at most once."""

import sys
from collections.abc import Callable

from charlm.cli.console import PlainConsole, sample_for, wrap_words
from charlm.cli.screen import columns
from charlm.formatting import epoch_count
from charlm.prediction.perplexity import perplexity
from charlm.training.events import Sampled, Stepped

_INTERVAL_SECONDS = 30.0
"""Least time between two samples."""
_MOST_COLUMNS, _MOST_LINES = 100, 8
_BOOK_LINES = 3
"""Most lines of a sample that is shown with each progress line in the style of the book."""
_INDENT, _BOOK_INDENT = "  ", " - "


class Samples:
    """Decides which samples are shown. All of them are in samples.txt.

    A sample waits for the next step: after the last one, the finished run shows its own.
    """

    def __init__(self, console: PlainConsole, clock: Callable[[], float]) -> None:
        self._console, self._clock = console, clock
        self._shown_at: float | None = None
        self._waiting: list[str] = []
        self._seconds = self._epoch_seconds = 0.0

    def count(self, event: Stepped) -> None:
        """Add the time of a step to that of its epoch."""
        self._seconds += event.step.step_seconds
        if event.step.epoch.is_integer():
            self._epoch_seconds, self._seconds = self._seconds, 0.0

    def book_line(self, event: Sampled) -> str:
        """Return the line that the book prints above a sample: epoch, perplexity and time."""
        loss = event.training_loss
        shown = f", perplexity {perplexity(loss):.3f}" if loss is not None else ""
        time = f", time {self._epoch_seconds:.2f} sec" if self._epoch_seconds else ""
        return f"epoch {epoch_count(event.epochs)}{shown}{time}"

    def keep(self, event: Sampled, *, is_better: bool | None) -> None:
        """Keep a sample to show if the model has improved, and not too soon after the last one.

        `is_better` is None without a validation split: a short sample is then shown as in the book.
        """
        indent = _BOOK_INDENT if is_better is None else _INDENT
        width = min(columns(sys.stderr) - 1, _MOST_COLUMNS) - len(indent)
        lines = wrap_words(sample_for(sys.stderr, " ".join(event.text.split())), width)
        is_short = is_better is None and len(lines) <= _BOOK_LINES
        last = self._shown_at
        is_due = last is None or self._clock() - last >= _INTERVAL_SECONDS
        if is_short or (is_due and is_better is not False):
            if len(lines) > _MOST_LINES:
                lines[_MOST_LINES - 1 :] = [f"{lines[_MOST_LINES - 1][: width - 4]} ..."]
            first, *others = lines
            self._waiting = [indent + first, *(" " * len(indent) + line for line in others)]

    @property
    def is_waiting(self) -> bool:
        """Whether a sample is to be shown."""
        return bool(self._waiting)

    def show(self) -> None:
        """Show the sample that is waiting."""
        for line in self._waiting:
            self._console.print_generated(line, style="dim")
        self._waiting, self._shown_at = [], self._clock()

    def drop(self) -> None:
        """Drop the sample that is waiting: the finished run shows its own."""
        self._waiting = []
