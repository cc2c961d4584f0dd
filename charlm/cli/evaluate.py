"""The `eval` command."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from charlm.cli.options import (
    SCORING,
    BootstrapSeed,
    Device,
    DeviceOption,
    Json,
    Quiet,
    Rows,
    RunPaths,
    Runs,
    SplitOption,
    Texts,
)
from charlm.errors import CharlmError
from charlm.formatting import count

if TYPE_CHECKING:
    from charlm.corpus.corpus import SplitName
    from charlm.prediction.predictor import Predictor


def evaluate(
    run: RunPaths = None,
    text: Texts = None,
    split: SplitOption = None,
    rows: Rows = 1,
    dynamic: Annotated[
        bool,
        typer.Option(
            "--dynamic",
            help="Dynamic evaluation: learn from each segment after scoring it.",
            rich_help_panel=SCORING,
        ),
    ] = False,
    portable: Annotated[
        bool,
        typer.Option(
            "--portable",
            help="Score the integers that `charlm compress` predicts with.",
            rich_help_panel=SCORING,
        ),
    ] = False,
    with_baselines: Annotated[
        bool,
        typer.Option(
            "--baselines",
            help="Also score the same characters by n-grams and compressors that have read the "
            "training split.",
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
    seed: BootstrapSeed = 0,
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
    _check_options(
        run or (), paths, dynamic=dynamic, rows=rows, save=save, with_baselines=with_baselines
    )
    if portable and (dynamic or rows > 1):
        raise CharlmError("--portable cannot be combined with --dynamic or --rows")
    for path in run or (None,):
        checkpoint_of(path, runs)  # report a wrong name before a model is loaded
    find_files([path for path in paths if path != "-"], is_setting=False)
    from charlm.analysis.baselines import baselines
    from charlm.analysis.intervals import ScoreIntervals, score_intervals
    from charlm.cli.loaded_run import load_model
    from charlm.cli.portable import integer_network
    from charlm.cli.run_tables import show_scores
    from charlm.cli.tables import show_baselines, show_score
    from charlm.portable.evaluation import evaluate_with_integers
    from charlm.prediction import evaluation
    from charlm.prediction.comparison import ScoredRun

    scored, objects = [], list[dict[str, Any]]()
    of_runs: dict[Path, ScoreIntervals] = {}
    for path in run or (None,):
        loaded = load_model(path, runs=runs, device=device, text=paths, quiet=quiet)
        if dynamic:
            evaluated = evaluation.evaluate_dynamically(
                loaded, text=paths, split=split_name, save=save
            )
            if (stored := evaluated.stored_characters) and not quiet:
                print_message(
                    f"{save} contains {count(stored, loaded.vocabulary.unit)} of the training text "
                    "and of what it has learnt from here, for n-grams"
                )
        elif portable:
            evaluated = evaluate_with_integers(
                loaded, integer_network(loaded.path, quiet), paths, split_name
            )
        else:
            evaluated = evaluation.evaluate_text(loaded, text=paths, split=split_name, rows=rows)
        its_text, score = evaluated.text, evaluated.score
        intervals, lack = score_intervals(score, evaluated.nats, its_text.split, seed)
        scored.append(ScoredRun.of(loaded, its_text.title, score))
        if intervals:
            of_runs[scored[-1].checkpoint] = intervals
        interval = {"interval": intervals and intervals.to_json(), "no_interval": lack or None}
        objects.append(scored[-1].to_json() | interval)
        found = baselines(loaded, evaluated) if with_baselines else []
        if with_baselines:
            objects[-1]["baselines"] = {one.name: one.to_json() for one in found}
    if json_:
        print(json.dumps(objects if len(scored) > 1 else objects[0], allow_nan=False))
    elif len(scored) > 1:
        show_scores(scored, of_runs)
    else:
        is_held_out = not (paths or dynamic or split == "train")
        training_loss = _training_loss(loaded) if is_held_out else None
        vocabulary = loaded.vocabulary
        show_score(
            its_text.name,
            score,
            vocabulary.unit,
            training_loss,
            intervals,
            len(vocabulary),
            lack,
        )
        show_baselines(score, found, loaded.vocabulary.unit)


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
    runs: Sequence[Path],
    text: Sequence[str],
    *,
    dynamic: bool,
    rows: int,
    save: Path | None,
    with_baselines: bool,
) -> None:
    """Raise `CharlmError` for options that exclude each other, before a model is loaded."""
    from charlm.cli.run_and_file import is_text

    for path in runs:
        if is_text(path) and path.suffix != ".safetensors":
            raise CharlmError(
                f"{path}: not a charlm checkpoint; name a text to score with --text {path}"
            )
    if dynamic and rows > 1:
        raise CharlmError("--dynamic cannot be combined with --rows")
    if save is not None and not dynamic:
        raise CharlmError("--save requires --dynamic")
    if len(runs) > 1 and save is not None:
        raise CharlmError("--save takes one run; name only the one to adapt")
    if len(runs) > 1 and with_baselines:
        raise CharlmError("--baselines takes one run; name only one")
    if len(runs) > 1 and "-" in text:
        raise CharlmError("each run reads the text again: save standard input to a file for --text")
