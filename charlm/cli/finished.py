"""Print the results of a finished run: a sample, a table, a curve, and the next commands."""

import math
import shlex
import sys

from charlm.cli.console import print_commands, print_rows, results, sample_for, wrap_words
from charlm.cli.curve import Point, draw
from charlm.cli.meaning import memorisation_note, too_few, with_choice
from charlm.cli.next_commands import next_commands
from charlm.cli.screen import can_encode, columns
from charlm.cli.tables import bits_per_byte, losses, unknown_note
from charlm.config.schema import Config
from charlm.errors import CharlmError
from charlm.formatting import duration
from charlm.prediction.perplexity import perplexity
from charlm.training.events import Finished

_MOST_COLUMNS = 100
"""Width to which a sample is wrapped on a wide terminal."""


def show_finished(event: Finished, config: Config | None) -> None:
    """Print the sample and the summary of a finished run; `config` is that of its last network."""
    for line in _sample_lines(event.sample):
        results().print_generated(line)
    results().print("")
    unit = config.corpus.unit if config is not None else "character"
    print_rows(_summary(event, unit))
    for line in ("", *lines) if (lines := _curve(event, unit)) else ():
        results().print(line)
    print_commands("\nnext", next_commands(event, config))


def _curve(event: Finished, unit: str) -> list[str]:
    """Return the curve of the validation loss; for an ensemble, of its first network."""
    points = [Point(step, loss / math.log(2)) for step, loss in _validations(event)]
    whose = " of network 1" if len(event.networks) > 1 else ""
    title = f"validation loss{whose}, bits per {unit}"
    has_blocks = can_encode("▁█", sys.stdout)
    return draw(points, title, has_blocks=has_blocks, width=columns(sys.stdout))


def _validations(event: Finished) -> list[tuple[int, float]]:
    """Return steps and losses of the validations; for an ensemble, of its first network."""
    try:
        lines = event.run.metrics()
    except CharlmError:  # the run is trained, even if its log cannot be read
        return []
    return [
        (line["step"], line["validation_loss"])
        for line in lines
        if isinstance(line.get("validation_loss"), float) and line.get("member", 1) == 1
    ]


def _sample_lines(text: str) -> list[str]:
    """Return the lines of a sample, wrapped at words on a terminal."""
    if not sys.stdout.isatty():
        return [line.rstrip(" ") for line in text.split("\n")]
    width = min(columns(sys.stdout) - 1, _MOST_COLUMNS)
    return wrap_words(sample_for(sys.stdout, text.rstrip()), width)


def _summary(event: Finished, unit: str) -> list[tuple[str, str]]:
    rate = event.characters / event.seconds if event.seconds else 0.0
    rows = [
        (
            "trained",
            f"{event.step:,} steps, {event.epochs:.2f} epochs, {event.characters:,} {unit}s "
            f"in {duration(event.seconds)} ({rate:,.0f} per second)",
        ),
        ("parameters", f"{event.num_parameters:,}"),
    ]
    if event.step == 0:
        rows.append(
            ("note", "no training step: the budget ended before the first; use a larger --budget")
        )
    if event.training_loss is not None:
        loss = f"{perplexity(event.training_loss):.3f} (mean over the last epoch, during training)"
        rows.append(("training perplexity", loss))
    if event.networks:
        rows.append(("validation loss", _network_losses(event, unit)))
    elif event.best_loss is not None and event.held_out and event.held_out[0] == "test":
        chosen = f"{perplexity(event.best_loss):.3f} (the lowest; it selects the checkpoint)"
        rows.append(("validation perplexity", chosen))
    if event.held_out is not None:
        name, score = event.held_out
        few = too_few(score.characters, unit)
        rows += [
            (
                f"{name} perplexity",
                f"{with_choice(score, 3, unit)} ({_checkpoint_note(event)})",
            ),
            (f"{name} loss", losses(score, unit)),
            *bits_per_byte(name, score),
            (
                f"{name} {unit}s",
                f"{score.characters:,}{unknown_note(score)}, {event.protocol}",
            ),
            *([("note", few)] if few else []),
        ]
    if note := _memorisation_at_end(event):
        rows.append(("note", note))
    if event.kept_characters:
        kept = f"contains {event.kept_characters:,} {unit}s of the training text, for n-grams"
        member = shlex.quote(str(event.folder.path / "member-1"))
        network = f"`charlm generate {member}` uses a network without them"
        rows.append(("checkpoint", f"{kept}; ensemble.keep_text=false omits them, and {network}"))
    if event.report is not None:
        rows.append(("report", str(event.report)))
    return rows


def _memorisation_at_end(event: Finished) -> str:
    """Compare the training loss with the last validation, which is of the same weights."""
    if len(event.networks) > 1:
        return ""
    training_loss = event.networks[0].training_loss if event.networks else event.training_loss
    for step, loss in _validations(event)[-1:]:
        if step == event.step:
            note = memorisation_note(training_loss, loss)
            kept = f"; the checkpoint of step {event.best_step:,} predicts best and is kept"
            return note + kept if note and event.best_step < event.step else note
    return ""


def _network_losses(event: Finished, unit: str) -> str:
    """Format the loss of each network alone and of the ensemble."""
    losses = [f"{one.best_loss:.4f}" for one in event.networks if one.best_loss is not None]
    if event.best_loss is None or not losses:
        return "none: no validation split to fit the mixture weights, so all are equal"
    ensemble = f"alone, {event.best_loss:.4f} as an ensemble"
    if len(event.networks) == 1:  # an ensemble of one network has n-grams
        ensemble = f"by the network alone, {event.best_loss:.4f} with n-grams"
    return f"{', '.join(losses)} {ensemble} (nats per {unit}; fitted on this split)"


def _checkpoint_note(event: Finished) -> str:
    if event.networks:
        return "best checkpoint of each"
    return f"best checkpoint, step {event.best_step:,}"
