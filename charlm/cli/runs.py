"""The `runs` command."""

import json
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from charlm.cli.options import Json, Runs

if TYPE_CHECKING:
    from charlm.runs.listed_run import ListedRun
    from charlm.runs.listed_score import ListedScore


def list_runs(runs: Runs = Path("runs"), json_: Json = False) -> None:
    """List the runs, the newest first: their model, score, age and state.

    The score is that of the test split at the end of training, or the best validation so far. A
    stopped run can be resumed.
    """
    from charlm.cli.console import print_message
    from charlm.files.locations import from_user
    from charlm.runs import listing

    runs = from_user(runs)
    has_none_yet = runs == Path("runs") and not runs.exists()
    found = [] if has_none_yet else listing.list_runs(runs)
    if json_:
        print(json.dumps([run.to_json() for run in found], allow_nan=False))
        return
    if not found:
        place = "" if runs == Path("runs") else f" --runs {shlex.quote(str(runs))}"
        print_message(f"{runs}: no runs yet; `charlm train TEXT{place}` makes one")
        return
    _show(found)
    sys.stdout.flush()
    for run in found:
        if run.problem:
            print_message(run.problem)


_APPROXIMATE, _PARTIAL, _SMALL = "~", "*", "?"
"""Signs beside a score."""
_EXPENDABLE = ("parameters", "cell", "age", "text")
"""Columns to drop on a narrow terminal, the first one first."""


def _show(runs: "list[ListedRun]") -> None:
    from rich.table import Table

    from charlm.cli.console import print_table, results
    from charlm.formatting import age
    from charlm.runs.listed_score import FEWEST_CHARACTERS

    signs = [_signs(run.score) for run in runs]
    table = Table(box=None, pad_edge=False)
    for heading in ("run", "text", "cell"):
        table.add_column(heading, overflow="fold")
    for heading in ("parameters", "bits per character"):
        table.add_column(heading, justify="right")
    if any(signs):
        table.add_column()
    for heading in ("of", "age", "state"):
        table.add_column(heading)
    now = time.time()
    for run, its_signs in zip(runs, signs, strict=True):
        bits, size = run.bits_per_character, run.num_parameters
        table.add_row(
            run.path.name,
            run.text,
            run.config.cells if run.config is not None else "",
            f"{size:,}" if size is not None else "",
            f"{bits:.4f}" if bits is not None else "",
            *([its_signs] if any(signs) else []),
            run.split or "",
            age(now - run.changed_at),
            run.state,
        )
    print_table(table, _EXPENDABLE)
    meanings = {
        _APPROXIMATE: "approximate, read in several streams",
        _PARTIAL: "scored on a part of the split only",
        _SMALL: f"fewer than {FEWEST_CHARACTERS:,} characters, too few to measure",
    }
    for sign, meaning in meanings.items():
        if any(sign in its_signs for its_signs in signs):
            results().print_wrapped(f"{sign} {meaning}")


def _signs(score: "ListedScore | None") -> str:
    """Return the signs beside a score."""
    if score is None:
        return ""
    kinds = {
        _APPROXIMATE: score.is_approximate,
        _PARTIAL: score.is_partial,
        _SMALL: score.is_too_small,
    }
    return "".join(sign for sign, is_so in kinds.items() if is_so)
