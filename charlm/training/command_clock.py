"""Measure the time of a command: a time budget covers it from its start to its last line."""

from charlm.environment.clock import seconds_awake


class CommandClock:
    """Counts the seconds of a command, in laps: its start, training, the next network's start."""

    def __init__(self) -> None:
        """Begin to count."""
        self._began_at = self._lap_began_at = seconds_awake()

    def seconds(self) -> float:
        """Return the seconds since the command began."""
        return seconds_awake() - self._began_at

    def lap_seconds(self) -> float:
        """Return the seconds of this lap so far."""
        return seconds_awake() - self._lap_began_at

    def end_lap(self) -> float:
        """Return the seconds of this lap, and begin the next one."""
        seconds = self.lap_seconds()
        self._lap_began_at += seconds
        return seconds
