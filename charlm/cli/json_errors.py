"""Print an error as JSON where a program reads the output of a command: with `--json`."""

import json
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from charlm.errors import CharlmError


class FailedCheckError(CharlmError):
    """A check that failed, with the results that were checked."""

    def __init__(self, message: str, results: dict[str, Any]) -> None:
        super().__init__(message)
        self.results = results


def asks_for_json(arguments: Sequence[str]) -> bool:
    """Return whether a command line has the flag `--json`."""
    return "--json" in takewhile(lambda argument: argument != "--", arguments)


def print_json_error(message: str, error: Exception | None = None) -> None:
    """Print an object with the key `error` to standard output, and the results of a check."""
    results = error.results if isinstance(error, FailedCheckError) else {}
    print(json.dumps({"error": message} | results, allow_nan=False))
