"""The facts about a run that a list shows, as a value and as JSON."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from charlm.config.schema import Config
from charlm.corpus.provenance import name_of_split
from charlm.runs.listed_score import ListedScore

State = Literal["training", "stopped", "finished", "no checkpoint", "damaged", "unknown"]
"""`unknown`: another user owns the run, and whether it trains cannot be found out."""


@dataclass(frozen=True)
class ListedRun:
    """The facts about a run that a list shows."""

    path: Path
    state: State
    changed_at: float
    """Time of the newest checkpoint, or of the config without one, in seconds since 1970."""
    config: Config | None = None
    num_parameters: int | None = None
    step: int | None = None
    """Number of steps of the best checkpoint, of all networks."""
    score: ListedScore | None = None
    problem: str = ""
    """Why a run is damaged."""

    @property
    def text(self) -> str:
        """Name of the training text; "" if it is unknown."""
        return name_of_split("train", self.config.corpus) if self.config is not None else ""

    @property
    def split(self) -> str | None:
        """The split whose score is known."""
        return self.score.split if self.score is not None else None

    @property
    def bits_per_character(self) -> float | None:
        """The score; None if the run has none."""
        return self.score.bits_per_character if self.score is not None else None

    def to_json(self) -> dict[str, Any]:
        """Return the run as a JSON object; what is unknown is null."""
        config, score = self.config, self.score
        return {
            "run": str(self.path),
            "name": self.path.name,
            "state": self.state,
            "text": self.text or None,
            "cell": config.cells if config is not None else None,
            "seed": config.training.seed if config is not None else None,
            "parameters": self.num_parameters,
            "step": self.step,
            "split": self.split,
            "bits_per_character": self.bits_per_character,
            "characters": score.characters if score is not None else None,
            "approximate": score.is_approximate if score is not None else None,
            "partial": score.is_partial if score is not None else None,
            "changed_at": datetime.fromtimestamp(self.changed_at, UTC).isoformat(
                timespec="seconds"
            ),
            "problem": self.problem or None,
        }
