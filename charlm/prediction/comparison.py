"""Compare the scores of several runs: which are comparable, and how far they vary with the seed."""

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from charlm.config.schema import Config
from charlm.environment.version import charlm_version
from charlm.prediction.perplexity import Score
from charlm.prediction.predictor import Predictor
from charlm.runs.finding import names_of_runs

_MOST_TIMES_THE_STEPS = 1.2
"""Factor between the steps of two runs of a mean up to which nothing is said."""


@dataclass(frozen=True)
class ScoredRun:
    """A run with its score."""

    checkpoint: Path
    text: str
    """Name of the scored text."""
    config: Config
    fingerprint: str
    """Fingerprint of the corpus that the model was trained on."""
    num_parameters: int
    step: int | None
    """Number of steps that the weights were trained for; None if the checkpoint does not say."""
    score: Score
    scored_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @classmethod
    def of(cls, predictor: Predictor, text: str, score: Score) -> "ScoredRun":
        """Return the run of a loaded checkpoint with its score on a text of this name."""
        checkpoint, path = predictor.checkpoint, predictor.path
        assert checkpoint is not None and path is not None, "it was loaded from a file"
        return cls(
            path,
            text,
            predictor.config,
            checkpoint.fingerprint,
            predictor.model.num_parameters,
            checkpoint.step,
            score,
        )

    @property
    def settings_but_seed(self) -> str:
        """What trained the model, without its seed: settings, and the fingerprint of the text.

        The paths of the text do not matter, because the fingerprint is that of its content. Neither
        do the settings of generation, which change no weights.
        """
        places = {"paths", "builtin", "validation_paths", "test_paths"}
        omitted: Any = {"training": {"seed"}, "corpus": places, "generation": True}
        settings = self.config.model_dump(mode="json", exclude=omitted)
        return json.dumps([settings, self.fingerprint])

    def to_json(self) -> dict[str, Any]:
        """Return the score as a JSON object that is complete without the command that made it."""
        digest, start, end = self.score.characters_scored
        folder = self.checkpoint.parent
        return {
            "run": str(folder.parent) if folder.name == "checkpoints" else None,
            "name": names_of_runs([self.checkpoint])[0],
            "checkpoint": str(self.checkpoint),
            "step": self.step,
            "seed": self.config.training.seed,
            "cell": self.config.cells,
            "parameters": self.num_parameters,
            "text": {"name": self.text, "digest": digest, "start": start, "end": end},
            **self.score.to_json(),
            "protocol": self.score.protocol,
            "overlaps": [overlap.to_json() for overlap in self.score.overlaps],
            "charlm": charlm_version(),
            "scored_at": self.scored_at.isoformat(timespec="seconds"),
        }


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation of a figure over runs that differ only in their seed."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> "Spread":
        """Compute both for at least two figures; nan for figures that are not finite."""
        if not all(map(math.isfinite, figures)):
            return cls(math.nan, math.nan)
        return cls(statistics.fmean(figures), statistics.stdev(figures))


def groups_by_seed(runs: Sequence[ScoredRun]) -> list[list[ScoredRun]]:
    """Group runs that differ only in their seed and were scored alike, in the order of the first.

    Other runs are groups of their own.
    """
    groups: dict[object, list[ScoredRun]] = {}
    for run in runs:
        key = run.settings_but_seed, run.score.method, run.score.characters_scored
        groups.setdefault(key, []).append(run)
    return list(groups.values())


def one_of_each_seed(group: Sequence[ScoredRun]) -> list[ScoredRun]:
    """Return the first run of each seed: a repetition says nothing about other seeds."""
    runs: dict[int, ScoredRun] = {}
    for run in group:
        runs.setdefault(run.config.training.seed, run)
    return list(runs.values())


def unequal_steps(steps: Sequence[int]) -> str:
    """Say how far the steps of the runs of a mean differ; "" if by at most 20 %."""
    fewest, most = min(steps, default=0), max(steps, default=0)
    if most <= _MOST_TIMES_THE_STEPS * fewest:
        return ""
    return (
        f"unequal steps: the mean of {len(steps)} seeds is of runs of {fewest:,} to {most:,} steps"
    )


def why_not_comparable(scores: Sequence[Score], verb: str = "scored") -> str:
    """Say what differs between the scored characters or protocols; "" if nothing does.

    `verb` says what the runs were: "scored" or "validated".
    """
    if len({score.origin.digest for score in scores}) > 1:
        return f"the runs are {verb} on different texts, or on one text read in different ways"
    if len({score.characters_scored for score in scores}) > 1:
        return f"the runs are {verb} on different characters of the text"
    if len({score.method for score in scores}) > 1:
        return f"the runs are {verb} by different protocols"
    return ""
