"""The `runs` command."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from charlm.cli.options import Json, Runs

if TYPE_CHECKING:
    from charlm.runs.listing import ListedRun


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
        print_message(f"{runs}: contains no runs; train one with `charlm train`")
        return
    _show(found)
    sys.stdout.flush()
    for run in found:
        if run.problem:
            print_message(run.problem)


def _show(runs: "list[ListedRun]") -> None:
    from rich.table import Table

    from charlm.cli.console import print_table
    from charlm.formatting import age

    table = Table(box=None, pad_edge=False)
    for heading in ("run", "text", "cell"):
        table.add_column(heading, overflow="fold")
    for heading in ("parameters", "bits per character"):
        table.add_column(heading, justify="right")
    for heading in ("of", "age", "state"):
        table.add_column(heading)
    now = time.time()
    for run in runs:
        bits, size = run.bits_per_character, run.num_parameters
        table.add_row(
            run.path.name,
            run.text,
            run.config.cells if run.config is not None else "",
            f"{size:,}" if size is not None else "",
            f"{bits:.4f}" if bits is not None else "",
            run.split or "",
            age(now - run.changed_at),
            run.state,
        )
    print_table(table)
