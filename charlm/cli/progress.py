"""Show progress: a bar on a terminal, and one line per validation elsewhere."""

import os
import sys
from contextlib import suppress
from typing import NoReturn

import torch
from tqdm import tqdm

from charlm.cli.console import PlainConsole, results
from charlm.cli.limits import describe_limits
from charlm.cli.tables import show_finished
from charlm.cli.terminal import for_terminal
from charlm.corpus.corpus import Corpus
from charlm.formatting import count, duration
from charlm.prediction.perplexity import perplexity
from charlm.training.determinism import engine
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

_LOSS_SMOOTHING = 0.95
"""Weight of the earlier steps in the bar's running mean of the loss."""


class TrainingView:
    """Shows the events of training: messages, the bar, samples and the summary."""

    def __init__(self, quiet: bool = False, *, only_messages: bool = False) -> None:
        """With `only_messages`, nothing is printed to standard output, and there is no bar."""
        self._messages = PlainConsole(stderr=True, quiet=quiet)
        self._results = results()
        self._quiet = quiet
        self._only_messages = only_messages
        self._bar: tqdm[NoReturn] | None = None
        self._loss: float | None = None
        self._began_at = 0.0
        """Progress when this process started or resumed training."""

    def __call__(self, event: Event) -> None:
        match event:
            case Advised():
                for reason in event.reasons:
                    self._messages.print(reason)
            case Started():
                self._show_start(event)
            case Stepped():
                self._show_step(event)
            case Validated():
                self._show_validation(event)
            case Sampled():
                self._show_sample(event)
            case RolledBack() | Paused():
                self._print_above(_describe_event(event), style="bold")
            case NetworkBegins() | Mixing():
                self.close()  # the bar of the previous network
                self._messages.print(_describe_phase(event))
            case StopRequested():
                self._acknowledge_stop()
            case Stopping():
                self.close()
                self._messages.print("stopped and saved; resume with", style="bold")
                self._messages.print(f"  charlm train --resume {event.folder.path}")
                self._print_folder(event)
            case Finished():
                self.close()
                if not self._quiet and not self._only_messages:
                    show_finished(event)
                self._print_folder(event)

    def _print_folder(self, event: Stopping | Finished) -> None:
        if not self._only_messages:
            self._results.print(str(event.folder.path))

    def _show_start(self, event: Started) -> None:
        for line in (_describe_corpus(event.corpus), _describe_model(event), *event.warnings):
            self._messages.print(line)
        where = f"at step {event.resumed_at} " if event.resumed_at else ""
        limits = describe_limits(event.config.training)
        self._messages.print(f"training {where}in {event.folder.path}, for at most {limits}")
        if event.config.training.deterministic and event.config.training.budget is not None:
            self._messages.print(
                "training.budget makes the number of steps depend on the clock, so another run may "
                "differ; set it to null, and set training.epochs or training.steps"
            )
        if event.progress >= 1:
            self._messages.print(
                "the run is finished; to extend it, raise the limit that it reached (--budget, or "
                "--set training.epochs or training.steps), or replace it (null and another limit)"
            )
        if not self._quiet and not self._only_messages and sys.stderr.isatty():
            self._bar = tqdm(
                total=1.0,
                bar_format="{percentage:3.0f}%|{bar}| {desc}",
                file=sys.stderr,
                dynamic_ncols=True,
                leave=False,
            )

    def _show_step(self, event: Stepped) -> None:
        step = event.step
        previous = step.loss if self._loss is None else self._loss
        self._loss = _LOSS_SMOOTHING * previous + (1 - _LOSS_SMOOTHING) * step.loss
        if self._bar is None:
            return
        if self._bar.n == 0:
            self._began_at = event.progress
            self._bar.initial = event.progress
        self._bar.set_description_str(
            f"step {step.step:,} · loss {self._loss:.3f} · "
            f"perplexity {perplexity(self._loss):.2f} · "
            f"{step.characters / step.step_seconds:,.0f} characters/s · "
            f"{self._time_left(event)} left",
            refresh=False,
        )
        self._bar.update(min(1.0, event.progress) - self._bar.n)

    def _time_left(self, event: Stepped) -> str:
        done = event.progress - self._began_at
        elapsed: float = self._bar.format_dict["elapsed"] if self._bar is not None else 0.0
        return duration(elapsed / done * (1 - event.progress)) if done > 0 else "?"

    def _acknowledge_stop(self) -> None:
        """Print without buffers: the signal may have interrupted a write to them."""
        if not self._quiet:
            with suppress(OSError, ValueError):
                os.write(sys.stderr.fileno(), b"\nsaving; Ctrl-C again stops without saving\n")

    def _show_validation(self, event: Validated) -> None:
        score = event.score
        self._print_above(
            f"step {event.step:>6,}  validation loss {score.nats_per_character:.4f}  "
            f"perplexity {score.perplexity:.3f}  {score.bits_per_character:.3f} bits/character"
            + (f"  {score.bits_per_byte:.3f} bits/byte" if score.unknown_characters else "")
            + ("" if score.precision == "float32" else f"  products in {score.precision}")
            + ("  (best)" if event.is_best else ""),
            style="bold" if event.is_best else "",
        )

    def _show_sample(self, event: Sampled) -> None:
        if self._bar is not None:
            self._print_above(event.text, style="dim", is_generated=True)

    def _print_above(self, text: str, style: str, is_generated: bool = False) -> None:
        if self._bar is not None:
            self._bar.clear()
        if is_generated:
            self._messages.print_generated(text, style=style)
        else:
            self._messages.print(text, style=style)
        if self._bar is not None:
            self._bar.refresh()

    def close(self) -> None:
        """Remove the bar from the terminal, if there is one."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class TransferView:
    """Shows the progress of a download on a terminal."""

    def __init__(self, name: str, size: int, quiet: bool = False) -> None:
        is_hidden = quiet or not sys.stderr.isatty()
        self._bar = tqdm(
            desc=for_terminal(name, sys.stderr),
            total=size,
            unit="B",
            unit_scale=True,
            disable=is_hidden,
        )

    def __call__(self, size: int) -> None:
        self._bar.update(size)

    def close(self) -> None:
        """End the bar."""
        self._bar.close()


def _describe_event(event: RolledBack | Paused) -> str:
    if isinstance(event, Paused):
        return f"paused for {duration(event.seconds)}; this time does not count"
    return (
        f"{event.reason}; rolled back to step {event.step:,}, with the learning rate multiplied "
        f"by {event.learning_rate_scale:g}"
    )


def _describe_phase(event: NetworkBegins | Mixing) -> str:
    if isinstance(event, NetworkBegins):
        role = ", the student of the others" if event.is_student else ""
        return f"network {event.number} of {event.size}{role}"
    networks = "the network" if event.size == 1 else f"{event.size} networks"
    if event.ngram_order is None:
        return f"building the ensemble of {networks}"
    return f"building the ensemble of {networks} and n-grams up to order {event.ngram_order}"


def _describe_corpus(corpus: Corpus) -> str:
    splits = corpus.parts
    sizes = [f"{len(splits[name]):,} {name}" for name in splits if len(splits[name])]
    unknown = sum(split.num_unknown for split in splits.values())
    remark = f"; {count(unknown, 'character')} of the text not in it" if unknown else ""
    return f"text: {', '.join(sizes)}; vocabulary of {len(corpus.vocabulary):,}{remark}"


def _describe_model(event: Started) -> str:
    config, model = event.config.model, event.model
    return (
        f"model: {config.cell}, {count(config.num_layers, 'layer')} of {config.hidden_size}, "
        f"{model.num_parameters:,} parameters on {_describe_engine(event)}"
    )


def _describe_engine(event: Started) -> str:
    model = event.model
    precision: str = model.precision
    if event.compute.precision != precision:
        precision += " (instead of bfloat16, which needs the compiled kernels on a CPU)"
    if model.device.type != "cpu":
        return f"{model.device.type}: {engine(model)}, {precision}"
    return f"the CPU: {engine(model)}, {precision}, {count(torch.get_num_threads(), 'thread')}"
