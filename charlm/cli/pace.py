"""Estimate the speed of training and the time left, without flicker."""

import math

_RATE_SECONDS = 10.0
"""Time after which a measurement of the speed counts 1/e."""
_PROGRESS_SECONDS = 60.0
"""The same for the speed of progress, from which the time left is computed."""
_LEAST_SECONDS = 2.0
"""Time that a run must have trained before the time left is estimated."""


class Pace:
    """Exponential running means of characters and of progress over time."""

    def __init__(self, progress: float = 0.0, elapsed: float = 0.0) -> None:
        """Start a run, or resume one that has made this progress in this time, in seconds."""
        self._progress, self._elapsed = progress, elapsed
        self._seconds = min(elapsed, _PROGRESS_SECONDS)
        self._gained = progress * self._seconds / elapsed if elapsed > 0 else 0.0
        self._characters = self._step_seconds = 0.0

    def add(self, characters: int, step_seconds: float, progress: float, elapsed: float) -> None:
        """Count a step; `progress` and `elapsed` are those of the whole run."""
        fading = math.exp(-step_seconds / _RATE_SECONDS)
        self._characters = self._characters * fading + characters
        self._step_seconds = self._step_seconds * fading + step_seconds
        passed, gained = elapsed - self._elapsed, progress - self._progress
        self._elapsed, self._progress = elapsed, progress
        if passed > 0 and gained >= 0:  # else training has rolled back
            fading = math.exp(-passed / _PROGRESS_SECONDS)
            self._seconds = self._seconds * fading + passed
            self._gained = self._gained * fading + gained

    @property
    def rate(self) -> float | None:
        """Characters per second, or None before the first step."""
        return self._characters / self._step_seconds if self._step_seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """Seconds until training ends, or None as long as they cannot be estimated."""
        if self._elapsed < _LEAST_SECONDS or self._gained <= 0:
            return None
        return max(0.0, 1.0 - self._progress) * self._seconds / self._gained
