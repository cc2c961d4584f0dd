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
    ] = 0.5,
    cells: Annotated[
        bool,
        typer.Option(
            help="Also measure every cell at three sizes (some minutes).",
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
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=MEASUREMENT,
            help="Fail if a ratio is more than 15 % below that in a file saved with --json.",
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """Measure training, evaluation, generation and encoding, and this machine's limits."""
    from charlm.config.load import load_config
    from charlm.corpus.early_check import check_text

    resolved = load_config(config, set_ or (), text or ())
    check_text(resolved.corpus)
    from charlm.bench import benchmark
    from charlm.cli.tables import show_benchmark, show_slowdowns, show_sweep

    if sweep:
        from charlm.bench.sweep import sweep as measure_sweep

        points = list(measure_sweep(resolved, seconds))
        if json_:
            print(json.dumps([point.to_json() for point in points]))
        else:
            show_sweep(points)
        return
    saved_ratios = _read_ratios(check) if check is not None else {}
    shapes = benchmark.standard_shapes() if cells else []
    result = benchmark.measure(resolved, shapes, seconds)
    if not json_:
        show_benchmark(result)
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
