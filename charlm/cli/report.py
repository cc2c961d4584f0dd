"""The `report` command."""

from pathlib import Path
from typing import Annotated

import typer

from charlm.cli.completion import complete_run
from charlm.cli.options import OUTPUT, Quiet, Runs
from charlm.errors import CharlmError


def report(
    run: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RUN",
            help="Run folders; several are drawn together (default: the newest run below --runs).",
            autocompletion=complete_run,
        ),
    ] = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Compute baselines, the surprise in a held-out passage and the originality, too; "
            "needs the training text.",
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File of the page (default: report.html in the run folder; of several runs, in "
            "the folder above). charlm replaces only a report.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    svg: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Draw the losses as SVG, for a paper.", rich_help_panel=OUTPUT
        ),
    ] = None,
    png: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw the losses as PNG; needs matplotlib.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the lines of the logs as CSV.", rich_help_panel=OUTPUT
        ),
    ] = None,
    runs: Runs = Path("runs"),
    quiet: Quiet = False,
) -> None:
    """Show the training of runs on one page: losses, samples, settings, machine.

    The page works offline. The command also takes a run that is still in training or was stopped.
    With --svg, --png or --csv it is written only with -o.
    """
    from charlm.cli.console import print_message, results
    from charlm.files.atomic import path_of_new, write_whole
    from charlm.files.locations import from_user
    from charlm.runs.finding import named_run, newest_run
    from charlm.runs.paths import RunPaths
    from charlm.runs.report_file import check_can_be_replaced

    folder = from_user(runs)
    paths = [named_run(from_user(path), folder) for path in run or ()] or [newest_run(folder).path]
    for path in paths:
        RunPaths(path).check_exists()
    others = {"--svg": svg, "--png": png, "--csv": csv}
    files = {
        option: path_of_new(path, option) for option, path in others.items() if path is not None
    }
    page = from_user(output) if output is not None else None
    if page is None and not files:
        page = RunPaths(paths[0] if len(paths) == 1 else paths[0].parent).report
    if page is not None:
        check_can_be_replaced(page)
    if full and page is None:
        raise CharlmError("--full computes parts of the page; name its file with -o, too")
    from charlm.analysis.history_csv import history_csv
    from charlm.analysis.passage import compute_details
    from charlm.analysis.run_history import read_history
    from charlm.errors import file_errors
    from charlm.pages.png import png_image
    from charlm.pages.report import write_report
    from charlm.pages.report_charts import loss_charts
    from charlm.pages.svg import image_file

    histories = [read_history(path) for path in paths]
    written = []
    if page is not None:
        details = []
        for path in paths if full else ():
            if not quiet:
                print_message(f"computing baselines, surprise and originality of {path}")
            details.append(compute_details(path))
        write_report(page, histories, details)
        written.append(page)
    chart, *_ = loss_charts(histories).values()
    if chart.is_empty and (svg is not None or png is not None):
        raise CharlmError(f"{paths[0]}: has no training lines to draw; train it for some steps")
    makers = {
        "--svg": lambda: image_file(chart).encode(),
        "--png": lambda: png_image(chart),
        "--csv": lambda: history_csv(histories).encode("utf-8", "surrogateescape"),
    }
    for option, path in files.items():
        data = makers[option]()
        with file_errors("be written", path, "choose another file", CharlmError):
            write_whole(path, data, is_new=True)
        written.append(path)
    for path in written:
        results().print(str(path))
