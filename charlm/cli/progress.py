"""Show what happens in training."""

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from charlm.cli.console import PlainConsole, results
from charlm.cli.descriptions import (
    describe_corpus,
    describe_event,
    describe_model,
    describe_phase,
)
from charlm.cli.finished import show_finished
from charlm.cli.limits import describe_limits
from charlm.cli.next_commands import resume_command
from charlm.cli.samples import Samples
from charlm.cli.screen import can_redraw, columns
from charlm.cli.status_line import ERASE, Field, fitted
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


class TrainingView:
    """Shows the events of training: messages, the line of progress, samples and the summary."""

    def __init__(
        self,
        quiet: bool = False,
        *,
        only_messages: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """With `only_messages`, nothing is printed to standard output, and no progress."""
        self._messages = PlainConsole(stderr=True, quiet=quiet)
        self._results = results()
        self._quiet, self._only_messages, self._clock = quiet, only_messages, clock
        self._line: TrainingLine | None = None
        self._samples = Samples(self._messages, clock)
        self._network = ""
        """Which network of an ensemble is trained."""
        self._run: Path | None = None
        """The run folder of the ensemble, if there is one."""
        self._config: Config | None = None
        self._is_better: bool | None = None
        """Whether the last validation was the best; None without a validation split."""
        self._is_stopping = False

    def __call__(self, event: Event) -> None:
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
                self._print_above(describe_event(event), style="bold")
            case NetworkBegins() | Mixing():
                self._show_phase(event)
            case StopRequested():
                self._acknowledge_stop()
            case Stopping():
                self.close()
                self._messages.print("stopped and saved; resume with", style="bold")
                self._messages.print(f"  {resume_command(event.folder.path)}")
                self._print_folder(event)
            case Finished():
                self.close()
                if not self._quiet and not self._only_messages:
                    show_finished(event, self._config)
                self._print_folder(event)

    def _print_folder(self, event: Stopping | Finished) -> None:
        if not self._only_messages:
            self._results.print(str(event.folder.path))

    def _show_phase(self, event: NetworkBegins | Mixing) -> None:
        self.close()  # the line of the previous network
        if isinstance(event, Mixing) or event.size > 1:
            self._messages.print(describe_phase(event))
        if isinstance(event, NetworkBegins):
            self._run = event.folder.path
            self._network = f"network {event.number}/{event.size}" if event.size > 1 else ""

    def _show_start(self, event: Started) -> None:
        self._config, self._is_better = event.config, None
        for line in (describe_corpus(event.corpus), describe_model(event), *event.warnings):
            self._messages.print_wrapped(line)
        where = f"at step {event.resumed_at} " if event.resumed_at else ""
        limits = describe_limits(event.config.training, event.budget)
        where += f"in {event.folder.path}"
        self._messages.print_wrapped(f"training {where}, for at most {limits}")
        if event.config.training.deterministic and event.config.training.budget is not None:
            self._messages.print_wrapped(
                "training.budget makes the number of steps depend on the clock, so another run may "
                "differ; set it to null, and set training.epochs or training.steps"
            )
        if event.progress >= 1:
            self._messages.print_wrapped(
                "the run is finished; to extend it, raise the limit that it reached (--budget, or "
                "--set training.epochs or training.steps), or replace it (null and another limit)"
            )
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
        """Print without buffers: the signal may have interrupted a write to them."""
        self._is_stopping = True
        start = ERASE if can_redraw(sys.stderr) else "\n" if sys.stderr.isatty() else ""
        if not self._quiet:
            with suppress(OSError, ValueError):
                message = f"{start}saving; Ctrl-C again stops without saving\n"
                os.write(sys.stderr.fileno(), message.encode())

    def _show_validation(self, event: Validated) -> None:
        score, self._is_better = event.score, event.is_best
        precision = "" if score.precision == "float32" else f"products in {score.precision}"
        fields = [
            Field(f"step {event.step:>6,}", 0),
            Field(f"validation loss {score.bits_per_character:.3f} bits/character", 1),
            Field(f"perplexity {score.perplexity:.3f}", 3),
            Field(f"{score.bits_per_byte:.3f} bits/byte" if score.unknown_characters else "", 4),
            Field(precision, 5),
            Field("(best)" if event.is_best else "", 2),
        ]
        width = columns(sys.stderr) - 1 if sys.stderr.isatty() else None
        if self._line is not None:
            self._line.note_validation(score.nats_per_character)
        self._print_above(fitted(fields, width), style="bold" if event.is_best else "")

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
        """Remove the line of progress from the terminal, and drop the sample that waits."""
        self._erase_line()
        self._line = None
        self._samples.drop()
