"""The `originality` command."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from charlm.cli.options import (
    OTHER,
    SAMPLING,
    Device,
    DeviceOption,
    Json,
    MovedText,
    Quiet,
    RunPath,
    Runs,
)

if TYPE_CHECKING:
    from charlm.config.sections.generation import GenerationSettings
    from charlm.prediction.predictor import Predictor


def originality(
    run: RunPath = None,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE",
            help="A text to compare, - for standard input. Without it, the model generates one.",
        ),
    ] = None,
    text: MovedText = None,
    length: Annotated[
        int | None,
        typer.Option(
            "--length",
            "-n",
            metavar="N",
            min=1,
            help="Characters to generate (default: 20,000).",
            rich_help_panel=SAMPLING,
        ),
    ] = None,
    items: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Items to generate with a model of records (default: 1,000).",
            rich_help_panel=SAMPLING,
        ),
    ] = None,
    match: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX",
            help="With a model of records, count only items that match as valid (Python's).",
            rich_help_panel=OTHER,
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature",
            "-t",
            metavar="X",
            help="Below 1 less random, above 1 more random (default: that of the config).",
            rich_help_panel=SAMPLING,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Random seed of the generated text (default: a random one, which is printed).",
            rich_help_panel=SAMPLING,
        ),
    ] = None,
    json_: Json = False,
    device: DeviceOption = Device.auto,
    runs: Runs = Path("runs"),
    quiet: Quiet = False,
) -> None:
    """Show what a text copies from the training text, compared with real text.

    It finds the longest spans that occur verbatim in the training split, and
    the share of characters in such spans, for the text and the held-out split.
    With a model of records it counts valid, different and new items, and finds
    the nearest training items by edit distance.
    """
    from charlm.cli.generation_options import checked_sampling
    from charlm.cli.run_and_file import check_file, run_and_file
    from charlm.errors import CharlmError
    from charlm.runs.finding import checkpoint_of

    run, file = run_and_file(run, file)
    if file is not None and any(one is not None for one in (length, items, temperature, seed)):
        raise CharlmError(
            "--length, --items, --temperature and --seed need a generated text; omit FILE"
        )
    settings = checked_sampling(match, length=length, temperature=temperature)
    check_file(file)
    checkpoint_of(run, runs)  # report a wrong name before a model is loaded
    from charlm.analysis import originality as analysis
    from charlm.cli.loaded_run import load_model
    from charlm.cli.originality_tables import show_originality

    loaded = load_model(run, runs=runs, device=device, text=text or (), quiet=quiet)
    if loaded.records is not None:
        if length is not None:
            raise CharlmError("--length is for running text; use --items with a model of records")
        _compare_items(
            *(loaded, file, text or (), items, match),
            settings,
            seed,
            is_json=json_,
        )
        return
    if items is not None or match is not None:
        raise CharlmError("--items and --match need a model of records; omit them")
    result = analysis.originality(
        loaded,
        [] if file is None else [file],
        seed=seed,
        training_text=text or (),
        **settings,
    )
    if json_:
        described = {"checkpoint": str(loaded.path), **result.to_json()}
        print(json.dumps(described, allow_nan=False))
    else:
        show_originality(result)


def _compare_items(
    loaded: "Predictor",
    file: str | None,
    training_text: Sequence[str],
    number: int | None,
    match: str | None,
    settings: "GenerationSettings",
    seed: int | None,
    *,
    is_json: bool,
) -> None:
    from charlm.analysis.item_originality import GENERATED_ITEMS, item_originality
    from charlm.cli.item_originality import show_item_originality

    result = item_originality(
        loaded,
        [] if file is None else [file],
        number=number or GENERATED_ITEMS,
        match=match,
        seed=seed,
        training_text=training_text,
        **settings,
    )
    if is_json:
        described = {"checkpoint": str(loaded.path), **result.to_json()}
        print(json.dumps(described, allow_nan=False))
    else:
        show_item_originality(result)
