"""The `activations` command."""

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from charlm.cli.options import OUTPUT, TEXT, Device, DeviceOption, Json, Quiet, RunPath, Runs

if TYPE_CHECKING:
    from charlm.analysis.activations import Activations


def activations(
    run: RunPath = None,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE",
            help="A text to read, - for standard input (default: the held-out split).",
        ),
    ] = None,
    member: Annotated[
        int | None,
        typer.Option(metavar="N", help="Network of an ensemble, from 1 on.", min=1),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH",
            help="Where the training text is, if it has moved. Repeatable.",
            rich_help_panel=TEXT,
        ),
    ] = None,
    csv_: Annotated[
        bool,
        typer.Option(
            "--csv",
            help="Print the correlations of all units with all features.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a page in which any unit colours the text, too.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    json_: Json = False,
    device: DeviceOption = Device.auto,
    runs: Runs = Path("runs"),
    quiet: Quiet = False,
) -> None:
    """Find units that follow nameable features of a text.

    Quotes, brackets, places in lines and words, indentation, upper case, digits, key words. A
    unit is chosen on the first half of the text; its correlation on the other half is the result.
    """
    from charlm.cli.run_and_file import check_file, run_and_file
    from charlm.errors import CharlmError
    from charlm.files.atomic import path_of_new
    from charlm.runs.finding import checkpoint_of

    run, file = run_and_file(run, file)
    if json_ and csv_:
        raise CharlmError("--json and --csv are two forms of the output; choose one")
    check_file(file)
    checkpoint_of(run, runs)  # a wrong name costs less than a second
    if html is not None:
        html = path_of_new(html, "--html")
    from charlm.analysis import activations as analysis
    from charlm.cli.loaded_run import load_model

    loaded = load_model(run, runs=runs, device=device, text=text or (), quiet=quiet)
    found = analysis.activations(loaded, text or () if file is None else [file], member=member)
    if html is not None:
        from charlm.pages.activations import activations_page
        from charlm.pages.page import write_page

        page = activations_page(found, analysis.network_of(loaded, member))
        write_page(html, page)
    if json_:
        described = {"checkpoint": str(loaded.path), "member": member, **found.to_json()}
        print(json.dumps(described, allow_nan=False))
    elif csv_:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(("feature", "layer", "state", "number", "found", "unseen"))
        for row in found.rows():
            writer.writerow(["" if cell is None else cell for cell in row])
    else:
        _show(found)


def _show(found: "Activations") -> None:
    from rich.table import Table

    from charlm.cli.console import print_table, results

    table = Table(box=None, pad_edge=False)
    for heading in ("what it follows", "unit", "found", "unseen half"):
        table.add_column(heading, justify="left" if heading[0] in "wu" else "right")
    table.columns[-1].justify = "right"
    for one in found.followers:
        unseen = "" if one.unseen is None else f"{one.unseen:+.3f}"
        table.add_row(one.feature, str(one.unit), f"{one.found:+.3f}", unseen)
    print_table(table)
    console = results()
    console.print("")
    console.print_wrapped(
        f"{found.name}: {len(found.text):,} characters. Each unit of {len(found.units):,} is "
        "correlated with each feature; the best one was found on the first half."
    )
