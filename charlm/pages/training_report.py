"""Write the report of a training at its end, also when it is stopped."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from charlm.errors import CharlmError
from charlm.runs.paths import RunPaths
from charlm.training.events import Finished, Started, Stopping
from charlm.training.results import result_of
from charlm.training.series_results import RunResult, SeriesFinished


class ReportedEvents:
    """Passes the events of a training on, and writes `report.html` in the run folder at its end.

    A report computes nothing beyond what the folder records, and `training.report` switches it off.
    If it fails, `warn` gets a line, because the run is complete, or saved.
    """

    def __init__(self, receive: Callable[[Any], None], warn: Callable[[str], None]) -> None:
        self._receive, self._warn = receive, warn
        self._is_wanted = False
        self._finished: dict[Path, Finished] = {}
        self.result: Finished | SeriesFinished | None = None
        """The last event of a complete training or series, with the paths of its reports."""

    def __call__(self, event: Any) -> None:
        if isinstance(event, Started):
            self._is_wanted = event.config.training.report
        elif isinstance(event, Finished):
            event = replace(event, report=self._written(event.folder.path, result_of(event)))
            self.result = self._finished[event.folder.path] = event
        elif isinstance(event, SeriesFinished):
            self.result = event = replace(event, results=tuple(map(self._reported, event.results)))
        self._receive(event)
        if isinstance(event, Stopping):  # who stops it sees first that it is saved
            self._written(event.folder.path, None)

    def _reported(self, result: RunResult) -> RunResult:
        """Return the result of a run of a series, with the path of its report."""
        if result.finished is None:
            return result
        return replace(result, finished=self._finished[result.finished.folder.path])

    def _written(self, run: Path, result: dict[str, Any] | None) -> Path | None:
        """Write the report, and return its path; None without one."""
        if not self._is_wanted:
            return None
        try:
            from charlm.analysis.run_history import read_history  # noqa: PLC0415 - slow, for
            from charlm.pages.report import write_report  # noqa: PLC0415 - the end

            path = RunPaths(run).report
            write_report(path, [read_history(run, result, is_ending=True)])
        except CharlmError as reason:
            self._warn(f"no report was written: {reason}")
            return None
        except Exception as error:  # even a bug here must not end a training with an error
            kind = type(error).__name__
            self._warn(f"no report was written ({kind}: {error}); `charlm report` says why")
            return None
        return path
