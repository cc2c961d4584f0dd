"""The `surprise` command."""

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from charlm.cli.options import OUTPUT, Device, DeviceOption, Json, Quiet, RunPath, Runs
from charlm.cli.surprise_tables import NUM_ITEMS, NUM_WORDS, Selection
from charlm.errors import CharlmError

if TYPE_CHECKING:
    from charlm.analysis.surprise import Surprise


class Order(StrEnum):
    """Orders of lines."""

    mean = "mean"
    sum = "sum"


def surprise(
    run: RunPath = None,
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="The text to read, - for standard input."),
    ] = None,
    lines: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Print the N most surprising lines instead of the text.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    items: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help=f"Print the N most surprising items (default for records: {NUM_ITEMS}).",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    order: Annotated[
        Order,
        typer.Option(
            "--by",
            metavar="NAME",
            help="Order of --lines and --items: mean or sum of the bits of their characters.",
            rich_help_panel=OUTPUT,
        ),
    ] = Order.mean,
    words: Annotated[
        bool,
        typer.Option(
            "--words",
            help=f"Print the {NUM_WORDS} likeliest typos, and what was expected.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    csv_: Annotated[
        bool,
        typer.Option(
            "--csv",
            help="Print a row for each character, or for each line, item or word that is printed.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            help="Write a page to explore the text in a browser, also offline.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    json_: Json = False,
    device: DeviceOption = Device.auto,
    runs: Runs = Path("runs"),
    quiet: Quiet = False,
) -> None:
    """Show where a text surprises a model.

    A character's bits are −log₂ of its probability, given all characters
    before it. Surprising ones are coloured, or have their bits on a line
    below. With a model of records, the most surprising items are listed. If
    FILE is the training text, its held-out split is shown.
    """
    from charlm.cli.run_and_file import check_file, run_and_file
    from charlm.files.atomic import path_of_new
    from charlm.runs.finding import checkpoint_of

    run, file = run_and_file(run, file)
    selection = Selection.of(lines, items, words, order.value)
    if json_ and csv_:
        raise CharlmError("--csv cannot be combined with --json")
    if html is not None:
        if json_ or csv_ or selection is not None:
            raise CharlmError(
                "--html excludes --csv, --json, --lines, --items and --words; omit these"
            )
        html = path_of_new(html, "--html")
    if run is not None or file is not None:
        checkpoint_of(run, runs)  # a wrong name costs less than a second
    if file is None:
        raise CharlmError("no text is named; add a FILE, or - for standard input")
    check_file(file)
    from charlm.analysis import surprise as analysis
    from charlm.cli.loaded_run import load_model

    loaded = load_model(run, runs=runs, device=device, text=[file], quiet=quiet)
    found = analysis.surprise(loaded, [file])
    if html is not None:
        from charlm.pages.page import write_page
        from charlm.pages.surprise import surprise_page

        write_page(html, surprise_page(found))
        print(html)
        return
    if found.has_items and selection is None and not (json_ or csv_):
        selection = Selection("items", NUM_ITEMS, order.value)
    if json_:
        result = found.to_json() if selection is None else selection.to_json(found)
        print(json.dumps({"checkpoint": str(loaded.path), **result}, allow_nan=False))
    elif csv_:
        rows = _rows(found) if selection is None else selection.rows(found)
        csv.writer(sys.stdout, lineterminator="\n").writerows(rows)
    elif selection is not None:
        selection.show(found)
    else:
        _show_all(found)


def _rows(found: "Surprise") -> Iterator[Sequence[object]]:
    """Yield the heading and a row for each character, for programs."""
    columns, text = found.to_json(), found.analysed
    likeliest = range(1, text.likeliest.shape[1] + 1)
    names = [name for number in likeliest for name in (f"likeliest_{number}", f"p_{number}")]
    yield ["line", "column", "character", "bits", "rank", "entropy_bits", *names]
    line, column = 1, 1
    for place, character in enumerate(columns["text"]):
        pairs = zip(columns["likeliest"][place], columns["probabilities"][place], strict=True)
        others: list[object] = [] if columns["likeliest"][place] else [""] * len(names)
        others.extend(value for one, share in pairs for value in (found.symbols[one], share))
        figures = [columns[name][place] for name in ("bits", "ranks", "entropies")]
        yield [line, column, character, *figures, *others]
        line, column = (line + 1, 1) if character == "\n" else (line, column + 1)


def _show_all(found: "Surprise") -> None:
    from charlm.cli.console import print_rows, results
    from charlm.cli.surprise_text import legend, show_text

    show_text(found)
    results().print("")
    sys.stdout.write(f"{legend()}\n")
    score = found.analysed.score
    print_rows(
        [
            ("text", found.name),
            ("mean", f"{score.bits_per_character:.4f} bits per {found.analysed.vocabulary.unit}"),
            ("protocol", score.protocol),
        ]
    )
