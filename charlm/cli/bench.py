"""The `bench` command."""

import json
from pathlib import Path
from typing import Annotated

import typer

from charlm.cli.json_errors import FailedCheckError
from charlm.cli.options import MEASUREMENT, ConfigName, Json, Settings, Texts
from charlm.errors import CharlmError, file_errors
from charlm.files.locations import from_user
from charlm.formatting import count


def bench(
    config: ConfigName = "quickstart",
    text: Texts = None,
    set_: Settings = None,
    seconds: Annotated[
        float,
        typer.Option(
            metavar="N",
            min=0.001,
            help="Seconds for each measurement.",
            rich_help_panel=MEASUREMENT,
        ),
    ] = 0.3,
    cells: Annotated[
        bool,
        typer.Option(
            help="Also measure every cell at three sizes, and a larger mixture (minutes).",
            show_default=False,
            rich_help_panel=MEASUREMENT,
        ),
    ] = True,
    sweep: Annotated[
        bool,
        typer.Option(
            "--sweep",
            help="Measure how the cost grows with each size instead.",
            rich_help_panel=MEASUREMENT,
        ),
    ] = False,
    busy: Annotated[
        bool,
        typer.Option(
            "--busy",
            help="Measure training beside a busy process instead; use --seconds 10 or more.",
            rich_help_panel=MEASUREMENT,
        ),
    ] = False,
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=MEASUREMENT,
            help="Fail if a ratio is more than 15 % below its value in a file saved with --json.",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Random seed of weights and batches (default: that of the config).",
            rich_help_panel=MEASUREMENT,
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """Measure training, evaluation, generation and encoding, and this machine's limits.

    Rates are in characters per second unless their name says otherwise.
    """
    from charlm.config.load import load_config
    from charlm.corpus.early_check import check_text

    settings = [*(set_ or ()), *([] if seed is None else [f"training.seed={seed}"])]
    resolved = load_config(config, settings, text or ())
    check_text(resolved.corpus)
    from charlm.bench import benchmark
    from charlm.bench.mixture_benchmark import standard_mixtures
    from charlm.cli.tables import (
        print_figure_as_message,
        show_figure,
        show_slowdowns,
        show_sweep,
    )

    if sweep:
        from charlm.bench.sweep import sweep as measure_sweep

        points = list(measure_sweep(resolved, seconds))
        if json_:
            print(json.dumps([point.to_json() for point in points]))
        else:
            show_sweep(points)
        return
    if busy:
        from charlm.bench.busy import measure_busy
        from charlm.cli.tables import show_busy

        rates = list(measure_busy(resolved, seconds))
        if json_:
            print(json.dumps([rate.to_json() for rate in rates]))
        else:
            show_busy(rates)
        return
    saved_ratios = _read_ratios(check) if check is not None else {}
    shapes = benchmark.standard_shapes() if cells else []
    mixtures = standard_mixtures() if cells else standard_mixtures()[:1]
    show = print_figure_as_message if json_ else show_figure
    result = benchmark.measure(resolved, shapes, mixtures, seconds, show)
    if slowdowns := result.losses(saved_ratios):
        show_slowdowns(slowdowns)
        raise FailedCheckError(
            f"{count(len(slowdowns), 'ratio')} fell more than 15 % below {check}; run it again on "
            "an idle machine, or find what became slower",
            result.to_json(),
        )
    if json_:
        print(json.dumps(result.to_json()))


def _read_ratios(path: Path) -> dict[str, float]:
    from charlm.files.untrusted import InvalidDataError, as_ascii, item, parse_json, read_bounded

    with file_errors("be read", path, "check the path", CharlmError):
        data = read_bounded(from_user(path), 1)
    try:
        ratios = item(parse_json(as_ascii(data)), "ratios", dict)
        return {name: item(ratios, name, float) for name in ratios}
    except InvalidDataError:
        raise CharlmError(
            f"{path}: not the output of `charlm bench --json`; create it again"
        ) from None
