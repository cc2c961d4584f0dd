"""What a run tells of itself as it goes on: the console draws these, and programs may read them."""

from dataclasses import dataclass

from charlm.config.schema import Config
from charlm.corpus.corpus import Corpus, PartName
from charlm.models.language_model import LanguageModel
from charlm.prediction.perplexity import Score
from charlm.runs.folder import RunFolder
from charlm.training.step_result import StepResult


@dataclass(frozen=True)
class Advised:
    """charlm chose something for the user: a config for the text, or an initial network."""

    reasons: tuple[str, ...]
    """A line for each choice."""


@dataclass(frozen=True)
class NetworkBegins:
    """A network of an ensemble comes next."""

    number: int
    """From 1 on."""
    size: int
    """How many there are, a student included."""
    is_student: bool


@dataclass(frozen=True)
class Mixing:
    """The networks of an ensemble are trained, and are mixed now."""

    size: int
    ngram_order: int | None


@dataclass(frozen=True)
class Started:
    """Everything is ready for the first step, or the next."""

    folder: RunFolder
    config: Config
    corpus: Corpus
    model: LanguageModel
    resumed_at: int
    """The step from which a resumed run goes on; 0 for a new one."""
    progress: float
    """How much of the run is done already, from 0 to 1."""
    warnings: tuple[str, ...] = ()
    """Warnings about what biases the scores of this run."""


@dataclass(frozen=True)
class Stepped:
    """A step was taken."""

    step: StepResult
    progress: float
    """How much of the run is done, from 0 to 1."""


@dataclass(frozen=True)
class Validated:
    """The validation part was scored."""

    step: int
    score: Score
    is_best: bool


@dataclass(frozen=True)
class Sampled:
    """A text was drawn, after validation."""

    step: int
    text: str


@dataclass(frozen=True)
class RolledBack:
    """The run had come to harm and went back to its last good save."""

    step: int
    """Where it went back to."""
    diverged_at: int
    """Steps taken when it was noticed."""
    reason: str
    learning_rate_scale: float
    """What the learning rate is multiplied by from now on."""
    rollbacks: int
    """How many there were, this one included."""


@dataclass(frozen=True)
class Paused:
    """The process was stopped or the machine slept, and continues; the time does not count."""

    seconds: float


@dataclass(frozen=True)
class StopRequested:
    """Somebody asked to stop: the run will, after what it is at. Sent from a signal's handler."""


@dataclass(frozen=True)
class Stopping:
    """Somebody asked to stop, and the run was saved."""

    folder: RunFolder


@dataclass(frozen=True)
class Finished:
    """The run came to its end; losses are of the best checkpoint."""

    folder: RunFolder
    step: int
    epochs: float
    characters: int
    seconds: float
    """Of training, validation left out."""
    num_parameters: int
    training_loss: float | None
    """Nats per character: mean of the epoch in progress, if half done, or the one before."""
    best_step: int
    best_loss: float | None
    """Nats per character of the validation split; a mixture was fitted on it."""
    held_out: tuple[PartName, Score] | None
    """The part that was kept apart, test before validation, and its score."""
    protocol: str
    """How that was scored."""
    sample: str
    networks: "tuple[Finished, ...]" = ()
    """What was mixed, a student last. Their `best_loss` is of the same characters as the mixture's.
    """
    kept_characters: int = 0
    """Of the training text, as they are in the checkpoint, for its n-grams."""


Event = (
    Advised
    | NetworkBegins
    | Mixing
    | Started
    | Stepped
    | Validated
    | Sampled
    | RolledBack
    | Paused
    | StopRequested
    | Stopping
    | Finished
)
