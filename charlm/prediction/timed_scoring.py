"""Choose how much of a text can be scored in a given time, by the speed of this machine."""

import math
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from charlm.corpus.vocabulary import Ids
from charlm.distributed.processes import Processes
from charlm.kernels.loading import computing_in
from charlm.models.ensemble import AnyModel
from charlm.prediction.reading import WARM_UP, num_streams

Clock = Callable[[], float]
"""Returns seconds, of which only differences count."""

_FEWEST_STREAMS = 16
"""Smallest number of streams that are spread over a text of which only a fraction is scored."""
_FEWEST_CHARACTERS = 1000
"""Smallest number of characters to score, however short the time is."""
_UNLIMITED_SECONDS = 0.3
"""Seconds up to which the whole text is scored, however short the time is."""
_STEPS, _STEPS_OF_ONE_STREAM = 64, 256
"""Steps that a measurement of the speed takes."""


@dataclass(frozen=True)
class TimeLimit:
    """When the final score should be complete."""

    seconds: float
    """Reading of `clock` at which the score should be complete."""
    clock: Clock
    run: Path
    """The run folder, whose text `charlm eval` scores without a limit."""
    earlier: tuple[int, int] | None = None
    """Streams and characters of an earlier score of the same weights, which is repeated."""

    def choose(
        self, model: AnyModel, ids: Ids, streams: int, rows: int, processes: Processes | None
    ) -> tuple[int, int | None]:
        """Return the number of streams, and of characters, to score; None means all characters.

        Without a limit, the text would be scored in `streams` streams.
        """
        processes = processes or Processes()
        seconds = processes.run_on_first(lambda: self.seconds - self.clock())
        most = len(ids) - 1
        if self.earlier is not None and self.earlier[1] <= most:
            number, characters = self.earlier
            return number, None if characters == most else characters
        rate = scoring_rate(model, ids, streams, self.clock, processes)
        if reading_seconds(most, streams, rate) <= max(seconds, _UNLIMITED_SECONDS):
            return streams, None
        streams = max(_FEWEST_STREAMS, rows)
        rate = scoring_rate(model, ids, streams, self.clock, processes)
        characters = characters_in(seconds, streams, rate, most)
        streams = num_streams(characters + 1, streams)
        if characters == most:
            return streams, None
        return next(n for n in range(streams, 0, -1) if characters % n == 0), characters

    def note(self, scored: int, size: int) -> str:
        """Return the note on a score of a fraction of a text."""
        if scored == size:
            return ""
        return (
            f"; scored on {scored:,} of {size:,} characters, to save time; "
            f"`charlm eval {shlex.quote(str(self.run))}` scores all"
        )


@torch.inference_mode()
def scoring_rate(
    model: AnyModel, ids: Ids, streams: int, clock: Clock, processes: Processes | None = None
) -> float:
    """Measure the characters per second that a model scores in `streams` streams.

    All processes return the rate of the first one.
    """
    processes = processes or Processes()
    columns = max(1, len(processes.share(streams)))
    steps = _STEPS_OF_ONE_STREAM if streams == 1 else _STEPS
    text = torch.from_numpy(np.resize(ids[: (steps + 1) * columns], (steps + 1, columns)))
    inputs, targets = text[:-1].long().to(model.device), text[1:].long().to(model.device)
    was_training, seconds = model.training, 0.0
    model.eval()
    with computing_in("float32" if streams == 1 else model.precision):
        for _ in range(2):  # the first one allocates memory
            start = clock()
            logits, _ = model(inputs, model.initial_state(columns))
            F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten()).item()
            seconds = clock() - start
    model.train(was_training)
    rate = steps * streams / seconds if seconds > 0 else math.inf
    return processes.run_on_first(lambda: rate)


def reading_seconds(characters: int, streams: int, rate: float) -> float:
    """Return how long it takes to score characters in streams, with their warm-up."""
    warm_up = WARM_UP * streams if streams > 1 else 0
    return (characters + warm_up) / rate


def characters_in(seconds: float, streams: int, rate: float, most: int) -> int:
    """Return how many of `most` characters to score in a time.

    The number is `most`, or 1, 2 or 5 times a power of ten, so that runs of slightly different
    speed score the same characters.
    """
    if reading_seconds(most, streams, rate) <= seconds:
        return most
    limit = max(_FEWEST_CHARACTERS, seconds * rate - WARM_UP * streams)
    power: int = 10 ** math.floor(math.log10(limit))
    fitting = max(factor * power for factor in (1, 2, 5) if factor * power <= limit)
    return min(most, fitting)
