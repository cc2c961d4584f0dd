"""The result of a complete run, as its run folder stores it."""

from datetime import UTC, datetime
from typing import Any

from charlm.training.events import Finished


def result_of(finished: Finished) -> dict[str, Any]:
    """Return time, step and score of a complete run; the score is None without held-out text."""
    score = None
    if finished.held_out is not None:
        split, found = finished.held_out
        digest, start, end = found.characters_scored
        text = {"digest": digest, "start": start, "end": end}
        score = {"split": split, "text": text, **found.to_json(), "protocol": finished.protocol}
    ended = datetime.now(UTC).isoformat(timespec="seconds")
    return {"ended": ended, "step": finished.best_step, "score": score}
