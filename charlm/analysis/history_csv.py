"""The lines of the logs of runs as one table in CSV."""

import csv
import io
import math
from collections.abc import Sequence

import numpy as np

from charlm.analysis.run_history import PROGRESS, TRAINING, VALIDATION, Lines, RunHistory


def history_csv(histories: Sequence[RunHistory]) -> str:
    """Return a row for each training line and each validation, in the order of their steps."""
    columns = (*PROGRESS, *TRAINING, *VALIDATION)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["run", "member", *columns])
    for history in histories:
        for network in history.networks:
            rows = [*_rows(network.training, columns), *_rows(network.validation, columns)]
            member = "" if network.member is None else network.member
            for row in sorted(rows, key=lambda row: -1.0 if math.isnan(row[0]) else row[0]):
                values = ["" if math.isnan(value) else f"{value:.10g}" for value in row]
                table.writerow([history.name, member, *values])
    return text.getvalue()


def _rows(lines: Lines, columns: Sequence[str]) -> list[list[float]]:
    empty = np.full(len(lines), np.nan)
    found = np.stack([lines.columns.get(key, empty) for key in columns], axis=1)
    rows: list[list[float]] = found.tolist()
    return rows
