"""The fields of the events of a series as JSON, for `event_json`."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from charlm.training.series_events import RunBegins, RunFailed, SeriesBegins
from charlm.training.series_plan import SeriesRun
from charlm.training.series_results import MEASURES, SeriesFinished


def _planned(run: SeriesRun) -> dict[str, Any]:
    return {"settings": dict(run.swept), "seed": run.seed}


def _results(event: SeriesFinished) -> dict[str, Any]:
    runs = [
        {"run": str(result.run.path)}
        | _planned(result.run)
        | {name: measure(result) for name, measure in MEASURES.items()}
        | {"error": result.error or None}
        for result in event.results
    ]
    settings = []
    for group in event.settings:
        spreads = {name: group.spread(name) for name in MEASURES}
        settings.append(
            {"settings": dict(group.results[0].run.swept), "num_runs": len(group.results)}
            | {name: spread and asdict(spread) for name, spread in spreads.items()}
        )
    return {
        "split": event.split or None,
        "runs": runs,
        "settings": settings,
        "best": event.best and str(event.best.run.path),
        "not_comparable": event.why_not_comparable or None,
    }


SERIES_FIELDS: dict[type, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    SeriesBegins: (
        "series",
        lambda event: {"runs": [{"run": str(r.path)} | _planned(r) for r in event.runs]},
    ),
    RunBegins: (
        "run",
        lambda event: {"number": event.number, "size": event.size} | _planned(event.run),
    ),
    RunFailed: ("failed", lambda event: {"error": event.error}),
    SeriesFinished: ("series_finished", _results),
}
"""The name of each event of a series in JSON, and the function that returns its fields."""
