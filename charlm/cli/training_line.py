"""The line of progress of a training, redrawn in place; where it cannot be, lines at intervals."""

import math
import sys
from collections.abc import Callable

from charlm.cli.notebook import NotebookLine, in_notebook
from charlm.cli.pace import Pace
from charlm.cli.screen import can_encode, can_redraw, columns
from charlm.cli.status_line import BLOCKS, Field, LiveLine, bar, join_fitting
from charlm.cli.terminal import for_terminal
from charlm.formatting import duration, short_count
from charlm.prediction.perplexity import perplexity
from charlm.training.events import Started, Stepped

_LOSS_SMOOTHING = 0.98
"""Weight of the earlier steps in the running mean of the loss."""
_REDRAW_SECONDS = 0.5
_PLAIN_SECONDS, _PLAIN_PROGRESS = 10.0, 0.01
"""Minimum time and progress between two plain lines, so that the log of a long run stays short."""
_MARGIN = 2
"""The first column, where the cursor waits, and the last one, where a terminal may wrap."""


class TrainingLine:
    """Shows how far the training of a network is, how well it does, and how long it takes."""

    def __init__(
        self, started: Started, name: str, network: str, clock: Callable[[], float]
    ) -> None:
        """`network` tells which one of an ensemble this is, or is empty."""
        self._name, self._network, self._clock = name, network, clock
        self._live: LiveLine | NotebookLine | None = None
        if in_notebook():
            self._live = NotebookLine()
        elif can_redraw(sys.stderr):
            self._live = LiveLine(sys.stderr)
        self._has_validation = len(started.corpus.splits["validation"]) > 0
        self._pace = Pace(started.progress, started.elapsed)
        self._progress, self._elapsed = started.progress, started.elapsed
        self._step, self._loss, self._best = started.resumed_at, math.nan, started.best_loss
        self._widths: dict[str, int] = {}
        """Width of each number so far: its field never becomes narrower."""
        self._shown_at, self._shown_progress = clock(), started.progress
        self._redraw()

    def count(self, event: Stepped) -> None:
        """Count a step; show the line if it is due."""
        step = event.step
        previous = step.loss if math.isnan(self._loss) else self._loss
        self._loss = _LOSS_SMOOTHING * previous + (1 - _LOSS_SMOOTHING) * step.loss
        self._pace.add(step.characters, step.step_seconds, event.progress, event.elapsed)
        self._step, self._progress, self._elapsed = step.step, event.progress, event.elapsed
        now = self._clock()
        if self._live is not None:
            if now - self._shown_at >= _REDRAW_SECONDS:
                self._shown_at = now
                self._redraw()
        elif (
            now - self._shown_at >= _PLAIN_SECONDS
            and event.progress - self._shown_progress >= _PLAIN_PROGRESS
        ):
            self._shown_at, self._shown_progress = now, event.progress
            width = columns(sys.stderr) - 1 if sys.stderr.isatty() else None
            print(join_fitting(self._plain_fields(), width), file=sys.stderr, flush=True)

    def note_validation(self, loss: float) -> None:
        """Show the best loss from now on."""
        self._best = loss if self._best is None else min(loss, self._best)

    def erase(self) -> None:
        """Remove the line from the terminal until it is drawn again."""
        if self._live is not None:
            self._live.erase()

    def close(self) -> None:
        """Remove the line from a terminal; a notebook keeps the state of the last step."""
        if isinstance(self._live, NotebookLine):
            self._redraw()
        self.erase()

    def _redraw(self) -> None:
        if self._live is not None:
            width = columns(sys.stderr)
            fields = [Field(self._bar(width), 0), *self._fields()]
            self._live.draw(f" {join_fitting(fields, width - _MARGIN)}")

    def _bar(self, width: int) -> str:
        has_blocks = isinstance(self._live, NotebookLine) or can_encode(BLOCKS, sys.stderr)
        return bar(self._progress, width, has_blocks=has_blocks)

    def _plain_fields(self) -> list[Field]:
        return [Field(f"step {self._step:>6,}", 0), *self._fields()]

    def _fields(self) -> list[Field]:
        left, rate = self._pace.seconds_left, self._pace.rate
        fields = [
            Field(self._steady("percent", f"{math.floor(min(1.0, self._progress) * 100)}") + "%", 8)
        ]
        if not math.isnan(self._loss):
            fields.append(Field(self._loss_text(), 1))
        if self._best is not None:
            fields.append(Field(f"best {_bits(self._best)}", 3))
        if rate is not None:
            fields.append(Field(self._steady("rate", short_count(rate)) + " chars/s", 5))
        fields.append(Field(duration(self._elapsed), 6))
        if left is not None:
            fields.append(Field(self._steady("left", duration(left)) + " left", 2))
        return [*fields, Field(self._network, 4), Field(for_terminal(self._name, sys.stderr), 7)]

    def _loss_text(self) -> str:
        """Return the training loss in the unit of the lines above: validations, or the book's."""
        if self._has_validation:
            return f"loss {_bits(self._loss)} bits"
        return f"perplexity {perplexity(self._loss):.2f}"

    def _steady(self, name: str, number: str) -> str:
        self._widths[name] = max(self._widths.get(name, 0), len(number))
        return number.rjust(self._widths[name])


def _bits(nats: float) -> str:
    return f"{nats / math.log(2):.2f}"
