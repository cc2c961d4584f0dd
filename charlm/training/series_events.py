"""The events of a series of runs, in addition to those of each run."""

from dataclasses import dataclass

from charlm.training.events import Event
from charlm.training.series_plan import SeriesRun
from charlm.training.series_results import SeriesFinished


@dataclass(frozen=True)
class SeriesBegins:
    """All runs are checked, and the first one begins."""

    runs: tuple[SeriesRun, ...]


@dataclass(frozen=True)
class RunBegins:
    """A run of a series begins, or is resumed."""

    number: int
    """Counted from 1."""
    size: int
    """Number of runs in the series."""
    run: SeriesRun


@dataclass(frozen=True)
class RunFailed:
    """A run diverged and ended; the series continues with the next one."""

    run: SeriesRun
    error: str


SeriesEvent = Event | SeriesBegins | RunBegins | RunFailed | SeriesFinished
