"""The `context` command."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from charlm.cli.options import (
    OUTPUT,
    SCORING,
    BootstrapSeed,
    Device,
    DeviceOption,
    Json,
    Quiet,
    RunPath,
    Runs,
    SplitOption,
    Texts,
)

if TYPE_CHECKING:
    from charlm.analysis.context import ContextCurve
    from charlm.corpus.corpus import SplitName


def context(
    run: RunPath = None,
    text: Texts = None,
    split: SplitOption = None,
    targets: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=2,
            help="Characters to predict after each history, spread evenly over the text.",
            rich_help_panel=SCORING,
        ),
    ] = 2000,
    seed: BootstrapSeed = 0,
    svg: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the curve to a new SVG file, too.", rich_help_panel=OUTPUT
        ),
    ] = None,
    json_: Json = False,
    device: DeviceOption = Device.auto,
    runs: Runs = Path("runs"),
    quiet: Quiet = False,
) -> None:
    """Show how much history a model uses.

    The same characters are predicted after 1, 2, 4 … 1024 characters of history, which begins at
    the zero state.
    """
    from charlm.corpus.files import find_files
    from charlm.files.atomic import path_of_new
    from charlm.runs.finding import checkpoint_of

    paths = text or []
    checkpoint_of(run, runs)  # a wrong name costs less than a second
    find_files([path for path in paths if path != "-"], is_setting=False)
    if svg is not None:
        svg = path_of_new(svg, "--svg")
    from charlm.analysis import context as analysis
    from charlm.cli.loaded_run import load_model

    loaded = load_model(run, runs=runs, device=device, text=paths, quiet=quiet)
    split_name = cast("SplitName | None", split and split.value)
    curve = analysis.context(loaded, paths, split_name, targets, seed)
    if svg is not None:
        _draw(curve, svg)
    if json_:
        described = {"checkpoint": str(loaded.path), **curve.to_json()}
        print(json.dumps(described, allow_nan=False))
    else:
        _show(curve)


def _draw(curve: "ContextCurve", path: Path) -> None:
    import numpy as np

    from charlm.pages.charts import Chart, Series
    from charlm.pages.page import write_page
    from charlm.pages.svg import image_file

    history = np.array([one.history for one in curve.losses], np.float64)
    ends = {"loss": [one.bits for one in curve.losses]}
    if all(one.interval for one in curve.losses):
        ends["95 % interval"] = [one.interval.low for one in curve.losses if one.interval]
        ends["95 % interval, upper end"] = [
            one.interval.high for one in curve.losses if one.interval
        ]
    series = [
        Series(name, history, np.array(bits), style="faint" if "interval" in name else "line")
        for name, bits in ends.items()
    ]
    title = f"Loss by history: {curve.name}"
    axes = f"{curve.unit}s of history", f"bits per {curve.unit}"
    write_page(path, image_file(Chart("context", title, *axes, series, log_x=True)))


def _show(curve: "ContextCurve") -> None:
    from rich.table import Table

    from charlm.cli.console import print_table, results
    from charlm.cli.curve import Point, draw
    from charlm.cli.screen import can_encode, columns

    table = Table(box=None, pad_edge=False)
    for heading in ("history", f"bits per {curve.unit}", "gain", "95 % interval of the gain"):
        table.add_column(heading, justify="right")
    for one in curve.losses:
        gain = "" if one.gain is None else f"{one.gain:+.4f}"
        ends = "" if one.gain_interval is None else "{:+.4f} to {:+.4f}".format(*one.gain_interval)
        table.add_row(f"{one.history:,}", f"{one.bits:.4f}", gain, ends)
    print_table(table)
    console = results()
    points = [Point(number, one.bits) for number, one in enumerate(curve.losses)]
    lines = draw(
        points,
        f"bits per {curve.unit}, by {curve.unit}s of history",
        has_blocks=can_encode("▁█", sys.stdout),
        width=columns(sys.stdout),
        ends=("1", f"{curve.losses[-1].history:,}, each twice the one before"),
    )
    for line in ("", *lines) if lines else ():
        console.print(line)
    console.print("")
    console.print_wrapped(curve.verdict)
    if any(one.interval is None for one in curve.losses):
        console.print_wrapped(
            "no interval: too few characters, or parts of the text differ too much"
        )
    if curve.limit:
        console.print_wrapped(curve.limit)
    console.print_wrapped(
        f"{curve.name}: {curve.targets:,} {curve.unit}s, the same ones after each history; a "
        "history begins at the zero state"
    )
