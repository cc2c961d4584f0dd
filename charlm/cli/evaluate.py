"""The `eval` command."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from charlm.cli.options import Device, DeviceOption, Json, Part, Quiet, RunPath, Runs, Texts
from charlm.errors import CharlmError

if TYPE_CHECKING:
    from charlm.corpus.corpus import PartName


def evaluate(
    run: RunPath = None,
    text: Texts = None,
    part: Annotated[
        Part | None, typer.Option(help="Split of the training text to score (default: test).")
    ] = None,
    rows: Annotated[
        int,
        typer.Option(
            min=1, help="Streams to score in parallel; more than 1 is faster but approximate."
        ),
    ] = 1,
    dynamic: Annotated[
        bool,
        typer.Option(
            "--dynamic", help="Dynamic evaluation: train on each segment after scoring it."
        ),
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --dynamic: write the adapted model to a new file."),
    ] = None,
    json_: Json = False,
    device: DeviceOption = Device.auto,
    runs: Runs = Path("runs"),
    quiet: Quiet = False,
) -> None:
    """Evaluate how well a model predicts a text.

    Every character after the first is scored once, with the state carried through the whole text.
    """
    from charlm.cli.console import print_message
    from charlm.cli.tables import show_score
    from charlm.prediction import evaluation, predictor

    if dynamic and rows > 1:
        raise CharlmError("--dynamic cannot be combined with --rows")
    if save is not None and not dynamic:
        raise CharlmError("--save requires --dynamic")
    loaded = predictor.load(run, runs=runs, device=device.value, text=text or ())
    if not quiet:
        print_message(f"using {loaded.describe()}")
    paths, split = text or (), cast("PartName | None", part and part.value)
    if dynamic:
        name, score, stored = evaluation.evaluate_dynamically(
            loaded, text=paths, part=split, save=save
        )
        if stored and not quiet:
            print_message(
                f"{save} contains {stored:,} characters of the training text and the scored text, "
                "for n-grams"
            )
    else:
        name, score = evaluation.score_text(loaded, text=paths, part=split, rows=rows)
    if json_:
        overlaps = [overlap.to_json() for overlap in score.overlaps]
        details = {"protocol": score.protocol, "overlaps": overlaps}
        print(json.dumps(score.to_json() | details, allow_nan=False))
    else:
        show_score(name, score)
