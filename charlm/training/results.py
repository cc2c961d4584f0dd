"""The result of a complete run, as its run folder stores it."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from charlm.files.untrusted import InvalidDataError, item
from charlm.runs.folder import RunFolder
from charlm.runs.starts import RESULT, read_starts
from charlm.training.events import Finished


class Reading(NamedTuple):
    """How a text was read to score it."""

    streams: int
    characters: int
    """Number of characters that were scored."""


def last_reading(folder: RunFolder) -> Reading | None:
    """Return how the last score of a run was computed; None without a score."""
    for start in reversed(read_starts(folder.environment)):
        try:
            score = item(item(start, RESULT, dict), "score", dict)
            reading = Reading(item(score, "streams", int), item(score, "characters", int))
        except InvalidDataError:
            continue
        if min(reading) > 0:
            return reading
    return None


def result_of(finished: Finished) -> dict[str, Any]:
    """Return time, step and score of a complete run; the score is None without held-out text."""
    score = None
    if finished.held_out is not None:
        split, found = finished.held_out
        digest, start, end = found.characters_scored
        text = {"digest": digest, "start": start, "end": end}
        score = {"split": split, "text": text, **found.to_json(), "streams": found.streams}
        score["protocol"] = finished.protocol
    ended = datetime.now(UTC).isoformat(timespec="seconds")
    return {"ended": ended, "step": finished.best_step, "score": score}
