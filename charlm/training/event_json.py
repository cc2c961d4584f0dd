"""The events of training as JSON objects, for programs; `charlm/cli/README.md` lists their keys."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from charlm.corpus.vocabulary import bytes_of
from charlm.prediction.perplexity import Score
from charlm.training.events import (
    Advised,
    Finished,
    Logged,
    Mixing,
    NetworkBegins,
    Paused,
    RolledBack,
    Sampled,
    Saved,
    Started,
    Stopping,
    Validated,
)
from charlm.training.series_events import RunBegins, SeriesEvent
from charlm.training.series_json import SERIES_FIELDS
from charlm.training.series_results import SeriesFinished


class EventJson:
    """Turns events into JSON objects, each with its run and, in an ensemble, its member."""

    def __init__(self) -> None:
        self._run: Path | None = None
        self._member: int | None = None

    def __call__(self, event: SeriesEvent) -> dict[str, Any] | None:
        """Return the object of an event, or None for an event that has none."""
        self._follow(event)
        name, fields = to_json(event)
        if not name:
            return None
        member = {} if self._member is None else {"member": self._member}
        run = None if self._run is None else str(self._run)
        return {"event": name, "run": run} | member | fields

    def _follow(self, event: SeriesEvent) -> None:
        match event:
            case RunBegins():
                self._run, self._member = event.run.path, None
            case SeriesFinished():
                self._run = None
            case NetworkBegins():
                self._run, self._member = event.folder.path, event.number
            case Started() if self._member is None:
                self._run = event.folder.path
            case Mixing():
                self._member = None
            case Finished() | Stopping():
                self._run, self._member = event.folder.path, None


def to_line(fields: dict[str, Any]) -> str:
    """Write a JSON object as a line of ASCII: no reader finds a line end within it.

    Numbers that are not finite become null, and bytes that are not UTF-8 become U+FFFD, because
    JSON has neither.
    """
    return json.dumps(_writable(fields), allow_nan=False)


def to_json(event: SeriesEvent) -> tuple[str, dict[str, Any]]:
    """Return the name and the fields of an event; "" for one that is only for people.

    There is no object for each step: the training lines of the log summarise them.
    """
    name, fields = _FIELDS.get(type(event), ("", lambda event: {}))
    return name, fields(event)


def _start(event: Started) -> dict[str, Any]:
    splits = event.corpus.splits
    return {
        "step": event.resumed_at,
        "epochs": event.epochs,
        "progress": event.progress,
        "elapsed": event.elapsed,
        "best_loss": event.best_loss,
        "parameters": event.model.num_parameters,
        "vocabulary": len(event.corpus.vocabulary),
        "characters": {name: len(split) for name, split in splits.items()},
        "device": event.model.device.type,
        "precision": event.model.precision,
        "threads": event.compute.threads,
        "warnings": list(event.warnings),
        "config": event.config.model_dump(mode="json"),
    }


def _finished(event: Finished) -> dict[str, Any]:
    split, score = event.held_out or (None, None)
    return {
        "step": event.step,
        "epochs": event.epochs,
        "characters": event.characters,
        "seconds": event.seconds,
        "parameters": event.num_parameters,
        "training_loss": event.training_loss,
        "best_step": event.best_step,
        "validation_loss": event.best_loss,
        "validation_characters": event.validation and event.validation.characters,
        "split": split,
        "score": None if score is None else _score(score),
        "sample": event.sample,
        "members": [
            {
                "run": str(member.folder.path),
                "step": member.step,
                "parameters": member.num_parameters,
                "validation_loss": member.best_loss,
            }
            for member in event.networks
        ],
        "kept_characters": event.kept_characters,
        "report": None if event.report is None else str(event.report),
    }


def _score(score: Score) -> dict[str, Any]:
    """Return a score with the keys that it has in `charlm eval --json`."""
    overlaps = [overlap.to_json() for overlap in score.overlaps]
    return score.to_json() | {"protocol": score.protocol, "overlaps": overlaps}


_FIELDS: dict[type, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    Advised: ("advice", lambda event: {"reasons": list(event.reasons)}),
    NetworkBegins: (
        "member",
        lambda event: {"members": event.size, "is_student": event.is_student},
    ),
    Mixing: (
        "mixing",
        lambda event: {"members": event.size, "ngram_order": event.ngram_order},
    ),
    Started: ("start", _start),
    Logged: ("step", lambda event: event.line),
    Validated: (
        "validation",
        lambda event: {
            "step": event.step,
            "is_best": event.is_best,
            "score": _score(event.score),
        },
    ),
    Sampled: (
        "sample",
        lambda event: {
            "step": event.step,
            "epoch": event.epochs,
            "training_loss": event.training_loss,
            "text": event.text,
        },
    ),
    Saved: ("saved", lambda event: {"step": event.step, "checkpoint": str(event.path)}),
    RolledBack: ("rollback", asdict),
    Paused: ("paused", lambda event: {"seconds": event.seconds}),
    Stopping: ("stopped", lambda event: {}),
    Finished: ("finished", _finished),
    **SERIES_FIELDS,
}
"""The name of each event in JSON, and the function that returns its fields."""


def _writable(value: Any) -> Any:
    """Return a value, and all that it contains, as JSON can write it."""
    match value:
        case dict():
            return {_writable(key): _writable(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_writable(inner) for inner in value]
        case float():
            return value if math.isfinite(value) else None
        case str():
            return bytes_of(value).decode("utf-8", "replace")
        case _:
            return value
