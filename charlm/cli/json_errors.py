"""Print an error as JSON if the command line asks for JSON."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from charlm.errors import CharlmError


class FailedCheckError(CharlmError):
    """A check that failed, with the results that were checked."""

    def __init__(self, message: str, results: dict[str, Any]) -> None:
        super().__init__(message)
        self.results = results


def asks_for_json(arguments: Sequence[str], group: Any) -> bool:
    """Return whether a command of a group would read `--json` in a command line as its flag.

    The value of another option, as in `--prefix --json`, is not a flag.
    """
    words, command = iter(arguments), group
    for word in words:
        if word == "--":
            return False
        if word == "--json":
            return True
        if word.startswith("-"):
            _skip_value(word, words, command)
        elif (commands := getattr(command, "commands", None)) is not None:
            command = commands.get(word)
    return False


def _skip_value(word: str, words: Iterator[str], command: Any) -> None:
    """Skip the next word if it is the value of this option, or of the last of combined letters."""
    with_value = {
        name
        for one in getattr(command, "params", ())
        for name in one.opts
        if one.param_type_name == "option" and not one.is_flag and not one.count
    }
    names = [word] if word.startswith("--") else [f"-{letter}" for letter in word[1:]]
    for place, name in enumerate(names):
        if name in with_value:
            if place == len(names) - 1:
                next(words, None)
            return


def print_json_error(message: str, error: Exception | None = None) -> None:
    """Print an object with the key `error` to standard output, and the results of a check."""
    results = error.results if isinstance(error, FailedCheckError) else {}
    print(json.dumps({"error": message} | results, allow_nan=False))
