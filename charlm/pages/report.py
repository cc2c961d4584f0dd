"""Write a report of one or several runs: one page that stands alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from itertools import groupby
from os import PathLike
from pathlib import Path

from markupsafe import Markup

from charlm.analysis.passage import Details, compute_details
from charlm.analysis.run_history import RunHistory, read_history
from charlm.corpus.vocabulary import bytes_of
from charlm.errors import RunError
from charlm.files.locations import from_user
from charlm.pages import svg
from charlm.pages.page import render, write_page
from charlm.pages.report_charts import loss_charts, other_charts, unit_of
from charlm.pages.report_tables import Row, differing_settings, facts, settings_of
from charlm.runs.finding import named_run
from charlm.runs.paths import RunPaths
from charlm.runs.report_file import check_can_be_replaced
from charlm.runs.run import Sample

MOST_SAMPLES = 60
"""Number of samples of a run in its report, evenly spread over its training."""


@dataclass(frozen=True, repr=False)
class Report:
    """The report of one or several runs, which a notebook shows."""

    histories: tuple[RunHistory, ...]
    details: tuple[Details, ...] = ()
    """What was computed for it, by run."""

    @cached_property
    def html(self) -> str:
        """The page, which needs no other file."""
        return report_page(self.histories, self.details)

    def write(self, path: str | PathLike[str]) -> None:
        """Write the page to a file, or to another report there."""
        write_report(from_user(path), self.histories, self.details)

    def __repr__(self) -> str:
        return f"Report({', '.join(one.name for one in self.histories)})"

    def _repr_html_(self) -> str:
        """Return a frame with the page, whose styles and scripts the notebook does not share."""
        return (
            (
                f'<iframe title="{escape(repr(self))}" srcdoc="{escape(self.html)}" '
                'sandbox="allow-scripts" style="width:100%;height:40rem;border:0"></iframe>'
            )
            .encode("utf-8", "replace")
            .decode()
        )


def report(
    *runs: str | PathLike[str], full: bool = False, folder: str | PathLike[str] = "runs"
) -> Report:
    """Return the report of runs: of their folders, or of their names in `folder`.

    `full` computes more, as `charlm report --full` does. Raises `CharlmError`.
    """
    if not runs:
        raise RunError("a report needs a run; give its folder")
    paths = [named_run(from_user(run), from_user(folder)) for run in runs]
    for path in paths:
        RunPaths(path).check_exists()
    details = tuple(compute_details(path) for path in paths) if full else ()
    return Report(tuple(map(read_history, paths)), details)


def write_report(
    path: Path, histories: Sequence[RunHistory], details: Sequence[Details] = ()
) -> None:
    """Write the report of some runs to a file, or to another report there; see `report_page`."""
    check_can_be_replaced(path)
    write_page(path, report_page(histories, details), is_new=False)


def report_page(histories: Sequence[RunHistory], details: Sequence[Details] = ()) -> str:
    """Return the report of some runs as HTML; `details` are what was computed for it, by run."""
    baselines = details[0].baselines if len(details) == 1 else {}
    first = histories[0]
    return render(
        "report.html",
        styles=("charts.css", "report.css"),
        scripts=("report.js",),
        names=[one.name for one in histories],
        losses={
            label: Markup(svg.figure(chart))
            for label, chart in loss_charts(histories, baselines).items()
            if not chart.is_empty
        },
        charts=[Markup(svg.figure(one)) for one in other_charts(histories) if not one.is_empty],
        facts=facts(histories),
        settings=_settings(histories),
        commands=[(one.name, one.command) for one in histories if one.command],
        has_budget=any(one.config and one.config.training.budget for one in histories),
        samples=[(one.name, _samples(one)) for one in histories if one.samples],
        is_training=first.listed.state == "training",
        details=[(one, _passage(one)) for one in details],
        unit=unit_of(histories),
    )


def _settings(histories: Sequence[RunHistory]) -> tuple[list[str], list[Row]]:
    """Return the headings and the rows of the settings that differ."""
    if len(histories) == 1:
        return ["value", "default"], settings_of(histories[0])
    return [one.name for one in histories], differing_settings(histories)


def _samples(history: RunHistory) -> list[tuple[str, str]]:
    """Return samples with what they are, evenly spread, the last one among them."""
    every = -(-len(history.samples) // MOST_SAMPLES)
    return [
        (_heading(sample), bytes_of(sample.text).decode("utf-8", "replace"))
        for sample in reversed(history.samples[::-1][::every])
    ]


def _passage(details: Details) -> list[tuple[int, str]]:
    """Return the passage in pieces of one level of surprise."""
    groups = groupby(details.passage, key=lambda one: one.level)
    return [(level, "".join(one.text for one in group)) for level, group in groups]


def _heading(sample: Sample) -> str:
    member = "" if sample.member is None else f"member {sample.member}, "
    return f"{member}step {sample.step:,}"
