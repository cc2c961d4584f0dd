"""Show the events of training on a terminal, or as plain lines."""

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from charlm.cli.console import PlainConsole, results
from charlm.cli.descriptions import (
    describe_event,
    describe_phase,
    describe_start,
    validation_fields,
)
from charlm.cli.finished import show_finished
from charlm.cli.next_commands import finished_limit, resume_command
from charlm.cli.notebook import in_notebook
from charlm.cli.samples import Samples
from charlm.cli.screen import can_redraw, columns
from charlm.cli.status_line import ERASE, join_fitting
from charlm.cli.training_line import TrainingLine
from charlm.config.schema import Config
from charlm.training.events import (
    Advised,
    Event,
    Finished,
    Mixing,
    NetworkBegins,
    Paused,
    RolledBack,
    Sampled,
    Started,
    Stepped,
    Stopping,
    StopRequested,
    Validated,
)

_STOPPING = "saving; Ctrl-C again stops without saving"


class TrainingView:
    """Shows the events of training: messages, the line of progress, samples and the summary."""

    def __init__(
        self,
        quiet: bool = False,
        *,
        only_messages: bool = False,
        shows_results: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """With `only_messages`, print only messages, to standard error, and no progress.

        Without `shows_results`, print nothing at the end: a program gets the results. In a notebook
        messages stand in the output of the cell, where standard error would look like a failure.
        """
        self._is_notebook = in_notebook()
        self._messages = PlainConsole(stderr=not self._is_notebook, quiet=quiet)
        self._shows_results = shows_results
        self._results = results()
        self._quiet, self._only_messages, self._clock = quiet, only_messages, clock
        self._line: TrainingLine | None = None
        self._samples = Samples(self._messages, clock)
        self._network = ""
        """Which network of an ensemble is trained."""
        self._run: Path | None = None
        """The run folder of the ensemble, if there is one."""
        self._budget: float | None = None
        """Time budget of the ensemble."""
        self._config: Config | None = None
        self._is_better: bool | None = None
        """Whether the last validation was the best; None without a validation split."""
        self._is_stopping = self._has_told_few = self._must_tell_stop = False
        self._reached_limit = ""
        """Says which limit a network of an ensemble had reached before it was resumed."""
        self._told_precision = "float32"

    def __call__(self, event: Event) -> None:
        if self._must_tell_stop and not self._quiet:
            self._must_tell_stop = False
            self._messages.print(_STOPPING)
        match event:
            case Advised():
                for reason in event.reasons:
                    self._messages.print_wrapped(reason)
            case Started():
                self._show_start(event)
            case Stepped():
                self._show_step(event)
            case Validated():
                self._show_validation(event)
            case Sampled():
                self._show_sample(event)
            case RolledBack() | Paused():
                self._erase_line()
                self._messages.print_wrapped(describe_event(event), style="bold")
            case NetworkBegins() | Mixing():
                self._show_phase(event)
            case StopRequested():
                self._acknowledge_stop()
            case Stopping():
                self.close()
                self._messages.print("stopped and saved; resume with", style="bold")
                self._messages.print(f"  {self._resume(event.folder.path)}")
                self._print_folder(event)
            case Finished():
                self._show_end(event)

    def _show_end(self, event: Finished) -> None:
        self.close()
        if self._reached_limit:
            self._messages.print_wrapped(self._reached_limit)
        if not self._quiet and not self._only_messages and self._shows_results:
            show_finished(event, self._config)
        self._print_folder(event)

    def _print_folder(self, event: Stopping | Finished) -> None:
        if not self._only_messages and self._shows_results:
            self._results.print(str(event.folder.path))

    def _resume(self, run: Path) -> str:
        """Return how to resume a run: the command, or what a program calls."""
        return resume_command(run) if self._shows_results else f"charlm.resume({str(run)!r})"

    def _show_phase(self, event: NetworkBegins | Mixing) -> None:
        self.close()  # the line of the previous network
        if isinstance(event, Mixing) or event.size > 1:
            has_finished = isinstance(event, Mixing) and self._reached_limit
            begin = "the networks are finished; " if has_finished else ""
            self._messages.print_wrapped(f"{begin}{describe_phase(event)}")
        self._reached_limit = ""
        if isinstance(event, NetworkBegins):
            self._run, self._budget = event.folder.path, event.budget
            self._network = f"network {event.number}/{event.size}" if event.size > 1 else ""

    def _show_start(self, event: Started) -> None:
        self._config, self._is_better = event.config, None
        for line in describe_start(event, tells_small_split=not self._has_told_few):
            self._messages.print_wrapped(line)
        self._has_told_few = True
        self._reached_limit = ""
        if event.progress >= 1:
            limit = finished_limit(
                event.config.training, event.epochs, event.resumed_at, self._budget
            )
            if event.is_member:
                self._reached_limit = limit
            else:
                self._messages.print_wrapped(limit)
        elif not self._quiet and not self._only_messages:
            name = (self._run or event.folder.path).name
            self._line = TrainingLine(event, name, self._network, self._clock)

    def _show_step(self, event: Stepped) -> None:
        self._samples.count(event)
        if self._samples.is_waiting:
            self._erase_line()
            self._samples.show()
        if self._line is not None and not self._is_stopping:
            self._line.count(event)

    def _acknowledge_stop(self) -> None:
        """Print without buffers: the signal may have interrupted a write to them.

        A notebook gets the line with the next event.
        """
        self._is_stopping = True
        if self._is_notebook:
            self._must_tell_stop = True
            return
        start = ERASE if can_redraw(sys.stderr) else "\n" if sys.stderr.isatty() else ""
        if not self._quiet:
            with suppress(OSError, ValueError):
                os.write(sys.stderr.fileno(), f"{start}{_STOPPING}\n".encode())

    def _show_validation(self, event: Validated) -> None:
        score, self._is_better = event.score, event.is_best
        unit = self._config.corpus.unit if self._config is not None else "character"
        is_told = score.precision == self._told_precision
        self._told_precision = score.precision
        fields = validation_fields(event, unit, tells_precision=not is_told)
        width = columns(sys.stderr) - 1 if sys.stderr.isatty() else None
        if self._line is not None:
            self._line.note_validation(score.nats_per_character)
        self._print_above(join_fitting(fields, width), style="bold" if event.is_best else "")

    def _show_sample(self, event: Sampled) -> None:
        if self._quiet or self._only_messages:
            return
        if self._is_better is None:
            self._print_above(self._samples.book_line(event))
        self._samples.keep(event, is_better=self._is_better)

    def _print_above(self, text: str, style: str = "") -> None:
        self._erase_line()
        self._messages.print(text, style=style)

    def _erase_line(self) -> None:
        if self._line is not None:
            self._line.erase()

    def close(self) -> None:
        """Remove the line of progress from the terminal, and drop the waiting sample."""
        if self._line is not None:
            self._line.close()
        self._line = None
        self._samples.drop()
