"""The `eval` command."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from charlm.cli.options import (
    SCORING,
    TEXT,
    Device,
    DeviceOption,
    Json,
    Quiet,
    RunPaths,
    Runs,
    Split,
    Texts,
)
from charlm.errors import CharlmError

if TYPE_CHECKING:
    from charlm.corpus.corpus import SplitName
    from charlm.prediction.predictor import Predictor


def evaluate(
    run: RunPaths = None,
    text: Texts = None,
    split: Annotated[
        Split | None,
        typer.Option(
            metavar="NAME",
            help="Split of the training text to score: train, validation or test (default).",
            rich_help_panel=TEXT,
        ),
    ] = None,
    rows: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="Streams to score in parallel; more than 1 is faster but approximate.",
            rich_help_panel=SCORING,
        ),
    ] = 1,
    dynamic: Annotated[
        bool,
        typer.Option(
            "--dynamic",
            help="Dynamic evaluation: train on each segment after scoring it.",
            rich_help_panel=SCORING,
        ),
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --dynamic: write the adapted model to a new file.",
            rich_help_panel=SCORING,
        ),
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
    from charlm.corpus.files import find_files
    from charlm.runs.finding import checkpoint_of

    paths, split_name = text or (), cast("SplitName | None", split and split.value)
    _check_options(run or (), paths, dynamic=dynamic, rows=rows, save=save)
    for path in run or (None,):
        checkpoint_of(path, runs)  # a wrong name costs less than a second
    find_files([path for path in paths if path != "-"])
    from charlm.cli.run_tables import show_scores
    from charlm.cli.tables import show_score
    from charlm.prediction import evaluation, predictor
    from charlm.prediction.comparison import ScoredRun

    scored = []
    for path in run or (None,):
        loaded = predictor.load(path, runs=runs, device=device.value, text=paths)
        if not quiet:
            print_message(f"using {loaded.describe()}")
        if dynamic:
            its_text, score, stored = evaluation.evaluate_dynamically(
                loaded, text=paths, split=split_name, save=save
            )
            if stored and not quiet:
                print_message(
                    f"{save} contains {stored:,} characters of the training text and the scored "
                    "text, for n-grams"
                )
        else:
            its_text, score = evaluation.evaluate_text(
                loaded, text=paths, split=split_name, rows=rows
            )
        scored.append(ScoredRun.of(loaded, its_text.title, score))
    if json_:
        objects = [one.to_json() for one in scored]
        print(json.dumps(objects if len(scored) > 1 else objects[0], allow_nan=False))
    elif len(scored) > 1:
        show_scores(scored)
    else:
        is_held_out = not (paths or dynamic or split == "train")
        training_loss = _training_loss(loaded) if is_held_out else None
        show_score(its_text.name, score, loaded.vocabulary.unit, training_loss)


def _training_loss(loaded: "Predictor") -> float | None:
    """Return the training loss of a checkpoint in a run folder, or None where it is not known."""
    from charlm.runs.run import Run

    step = loaded.checkpoint.step if loaded.checkpoint is not None else None
    if step is None or loaded.path is None:
        return None
    try:
        return Run(loaded.path.parent.parent).epoch_loss(step)
    except CharlmError:  # a copy of a checkpoint, or a log that somebody has edited
        return None


def _check_options(
    runs: Sequence[Path], text: Sequence[str], *, dynamic: bool, rows: int, save: Path | None
) -> None:
    """Raise `CharlmError` for options that exclude each other, before a model is loaded."""
    if dynamic and rows > 1:
        raise CharlmError("--dynamic cannot be combined with --rows")
    if save is not None and not dynamic:
        raise CharlmError("--save requires --dynamic")
    if len(runs) > 1 and save is not None:
        raise CharlmError("--save takes one run; name only the one to adapt")
    if len(runs) > 1 and "-" in text:
        raise CharlmError("each run reads the text: save standard input in a file for --text")
