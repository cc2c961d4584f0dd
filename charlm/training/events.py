"""The events of training, for the console and for programs that call `charlm.train`."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from charlm.config.schema import Config
from charlm.corpus.corpus import Corpus, SplitName
from charlm.formatting import count, duration, html_table
from charlm.kernels.compute import Compute
from charlm.models.language_model import LanguageModel
from charlm.prediction.perplexity import Score
from charlm.runs.folder import RunFolder
from charlm.runs.run import Run
from charlm.training.step_result import StepResult


@dataclass(frozen=True)
class Advised:
    """charlm chose something for the user: a config for the text, or an initial network."""

    reasons: tuple[str, ...]
    """A line for each choice."""


@dataclass(frozen=True)
class NetworkBegins:
    """The training of a network of an ensemble begins."""

    folder: RunFolder
    """Run folder of the ensemble."""
    number: int
    """Number of this network, from 1."""
    size: int
    """Number of networks in the ensemble, including the student."""
    is_student: bool
    budget: float | None = None
    """Time budget of the whole ensemble, in seconds."""


@dataclass(frozen=True)
class Mixing:
    """The networks of an ensemble are trained; now their mixture weights are fitted."""

    size: int
    ngram_order: int | None


@dataclass(frozen=True)
class Started:
    """Everything is ready for the first step, or for the next one of a resumed run."""

    folder: RunFolder
    config: Config = field(repr=False)
    corpus: Corpus = field(repr=False)
    compute: Compute = field(repr=False)
    model: LanguageModel = field(repr=False)
    resumed_at: int
    """Steps that a resumed run had taken; 0 for a new one."""
    progress: float
    """How much of the training is done, from 0 to 1."""
    elapsed: float
    """Seconds of training so far, including validation, in this command and earlier ones."""
    best_loss: float | None
    """The lowest validation loss so far, in nats per character."""
    epochs: float = 0.0
    """Epochs that a resumed run has trained, in fractions."""
    seconds_left: float | None = None
    """Seconds of the time budget that are left to this command; to a member, for its training."""
    is_member: bool = False
    """Whether the run is a member of an ensemble, which shares the time budget with others."""
    warnings: tuple[str, ...] = ()
    """A line for each reason why the scores of this run may be biased."""


@dataclass(frozen=True)
class Stepped:
    """A step was taken."""

    step: StepResult
    progress: float
    """How much of the training is done, from 0 to 1."""
    elapsed: float
    """Seconds of training so far, as in `Started`."""


@dataclass(frozen=True)
class Logged:
    """A training line was written to `metrics.jsonl`."""

    line: dict[str, Any]
    """Its contents; the losses are means over the steps since the previous line."""


@dataclass(frozen=True)
class Validated:
    """The validation split was scored."""

    step: int
    score: Score
    is_best: bool


@dataclass(frozen=True)
class Sampled:
    """A sample of text was drawn, after validation."""

    step: int
    epochs: float
    """Epochs so far, in fractions."""
    training_loss: float | None
    """Mean nats per character of an epoch, as in `Finished`."""
    text: str
    """The sample; bytes of a byte model that are not UTF-8 are surrogates in it (PEP 383)."""


@dataclass(frozen=True)
class Saved:
    """The checkpoint to resume from was written."""

    step: int
    path: Path


@dataclass(frozen=True)
class RolledBack:
    """Training diverged and rolled back to its last regular save."""

    step: int
    """The step of that save."""
    diverged_at: int
    """Steps taken when the divergence was noticed."""
    reason: str
    learning_rate_scale: float
    """Factor on the learning rate from now on."""
    rollbacks: int
    """Roll-backs so far, with this one."""


@dataclass(frozen=True)
class Paused:
    """The process was stopped, or the machine slept; this time does not count as training."""

    seconds: float


@dataclass(frozen=True)
class StopRequested:
    """The user asked to stop, and training will save and stop. A signal handler emits this."""


@dataclass(frozen=True)
class Stopping:
    """Training stops because the user asked, and everything is saved."""

    folder: RunFolder


@dataclass(frozen=True, repr=False)
class Finished:
    """Training is complete; the losses are those of the best checkpoint."""

    folder: RunFolder
    step: int
    epochs: float
    characters: int
    seconds: float
    """Time spent in steps, without validation."""
    num_parameters: int
    training_loss: float | None
    """Mean nats per character of the epoch in progress if half of it is done, else of the last."""
    best_step: int
    best_loss: float | None
    """Nats per character of the validation split; an ensemble has fitted its mixture to it."""
    held_out: tuple[SplitName, Score] | None
    """The held-out split and its score: test, or validation if test is empty; None if both are."""
    protocol: str
    """How the held-out split was scored."""
    sample: str
    """A sample of text, as in `Sampled`."""
    networks: "tuple[Finished, ...]" = ()
    """The results of an ensemble's networks, the student last.

    Their `best_loss` is of the same characters as the ensemble's.
    """
    validation: Score | None = None
    """Score of the validation split whose loss is `best_loss`."""
    kept_characters: int = 0
    """Number of characters of the training text that the checkpoint keeps, for its n-grams."""

    report: Path | None = field(default=None, compare=False)
    """The page about the training; None without one, and in the results of a series."""

    @property
    def run(self) -> Run:
        """Return the run, to read its metrics and samples; `load` takes it."""
        return Run(self.folder.path)

    def __repr__(self) -> str:
        facts = [f"{count(self.step, 'step')} in {duration(self.seconds)}"]
        if self.held_out is not None:
            name, score = self.held_out
            facts.append(f"{name} perplexity {score.perplexity:.3f}")
        return f"Finished({self.folder.path}: {', '.join(facts)})"

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows."""
        trained = f"{count(self.step, 'step')}, {self.epochs:.2f} epochs, {duration(self.seconds)}"
        rows: list[tuple[str, object]] = [
            ("run", self.folder.path),
            ("trained", trained),
            ("parameters", f"{self.num_parameters:,}"),
            ("validation loss", _loss(self.best_loss)),
        ]
        if self.held_out is not None:
            name, score = self.held_out
            rows += [
                (f"{name} perplexity", f"{score.perplexity:.3f}"),
                (f"{name} loss", _loss(score.nats_per_character)),
                ("protocol", self.protocol),
            ]
        return html_table([*rows, ("sample", self.sample)])


def _loss(nats: float | None) -> str:
    return "" if nats is None else f"{nats:.4f} nats, {nats / math.log(2):.4f} bits per character"


Event = (
    Advised
    | NetworkBegins
    | Mixing
    | Started
    | Stepped
    | Logged
    | Validated
    | Sampled
    | Saved
    | RolledBack
    | Paused
    | StopRequested
    | Stopping
    | Finished
)
