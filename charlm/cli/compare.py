"""The `compare` command."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from charlm.cli.completion import complete_run
from charlm.cli.options import (
    SERIES,
    BootstrapSeed,
    Device,
    DeviceOption,
    Json,
    Quiet,
    Rows,
    Runs,
    SplitOption,
    Texts,
)
from charlm.errors import CharlmError

if TYPE_CHECKING:
    from charlm.corpus.corpus import SplitName


def compare(
    run: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RUN|CHECKPOINT",
            help="Run folders or checkpoints; the others are compared with the first.",
            autocompletion=complete_run,
        ),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=RUN,RUN",
            help="Runs that differ in their seed, to compare by their mean. Repeatable; groups "
            "come before single runs.",
            rich_help_panel=SERIES,
        ),
    ] = None,
    text: Texts = None,
    split: SplitOption = None,
    rows: Rows = 1,
    seed: BootstrapSeed = 0,
    json_: Json = False,
    device: DeviceOption = Device.auto,
    runs: Runs = Path("runs"),
    quiet: Quiet = False,
) -> None:
    """Say whether one model predicts a text better than another.

    The models are scored on the same characters; the difference has a 95 % interval, from a
    bootstrap of paired differences over blocks of the text.
    """
    from charlm.corpus.files import find_files
    from charlm.runs.finding import checkpoint_of, names_of_runs

    paths, split_name = text or (), cast("SplitName | None", split and split.value)
    if "-" in paths:
        raise CharlmError("each run reads the text again: save standard input to a file for --text")
    groups = _groups(group or ())
    single = names_of_runs([checkpoint_of(path, runs) for path in run or ()])
    if len(set(single)) < len(single):
        raise CharlmError("a run is named twice; name each run once")
    for name, path in zip(single, run or (), strict=True):
        if name in groups:
            raise CharlmError(f"--group {name}=: a run has the same name; choose another")
        groups[name] = [path]
    if len(groups) < 2:
        raise CharlmError("compare needs two runs; name another one, or a --group NAME=RUN,RUN")
    for path in (path for its_runs in groups.values() for path in its_runs):
        checkpoint_of(path, runs)  # report a wrong name before a model is loaded
    find_files([*paths], is_setting=False)
    from charlm.analysis.comparison import CharacterBits, compare_bits
    from charlm.cli.comparison_table import show_comparison
    from charlm.cli.loaded_run import load_model

    scored: dict[str, list[CharacterBits]] = {}
    for name, its_runs in groups.items():
        for path in its_runs:
            loaded = load_model(path, runs=runs, device=device, text=paths, quiet=quiet)
            bits = CharacterBits.of(loaded, paths, split_name, rows)
            scored.setdefault(name, []).append(bits)
    comparison = compare_bits(scored, seed)
    if json_:
        print(json.dumps(comparison.to_json(), allow_nan=False))
    else:
        show_comparison(comparison)


def _groups(options: Sequence[str]) -> dict[str, list[Path]]:
    """Return the runs of each group by its name."""
    groups: dict[str, list[Path]] = {}
    for option in options:
        name, equals, listed = option.partition("=")
        paths = [Path(path.strip()) for path in listed.split(",") if path.strip()]
        if not (name.strip() and equals and paths):
            raise CharlmError(f"--group {option}: expected NAME=RUN,RUN")
        if name.strip() in groups:
            raise CharlmError(f"--group {name.strip()} is given twice; name its runs once")
        if len(set(paths)) < len(paths):
            raise CharlmError(f"--group {option}: a run is named twice; name each run once")
        groups[name.strip()] = paths
    return groups
