"""Check and expand command-line arguments: empty values, lists of texts, escapes."""

import os
import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from charlm.cli.setting_options import SETTING_OPTIONS
from charlm.errors import CharlmError

_OPTIONS_THAT_MAY_BE_EMPTY = ("--prefix", "-p")
SHORT_OPTIONS = {
    "-p": "--prefix",
    "-i": "--interactive",
    "-n": "--length",
    "-t": "--temperature",
    "-q": "--quiet",
}
"""Options of one letter, with the long ones that they stand for."""
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\"}
ESCAPES_HELP = "\\n, \\t, \\r and \\\\ mean newline, tab, carriage return and backslash."
"""Help text for an option whose value `expand_escapes` expands."""


def flags_of(command: Any) -> set[str]:
    """Return the options of a command and its subcommands that take no value."""
    flags = {
        option
        for parameter in command.params
        for option in parameter.opts
        if getattr(parameter, "is_flag", False)
    }
    return flags.union(*map(flags_of, getattr(command, "commands", {}).values()))


def refuse_empty(arguments: Sequence[str], flags: Collection[str] = ()) -> None:
    """Raise `CharlmError` for an empty argument or option value.

    The usual cause is a shell variable that is not set. `flags` are the options without a value.
    """
    previous = ""
    for argument in arguments:
        option, equals, value = argument.partition("=")
        if argument == "":
            option = previous if previous not in flags else ""
        is_empty = argument == "" or (option.startswith("--") and equals and not value)
        if is_empty and option not in _OPTIONS_THAT_MAY_BE_EMPTY:
            place = f"the value of {option}" if option.startswith("-") else "an argument"
            raise CharlmError(
                f"{place} is empty (is a shell variable not set?); give a value, or omit it"
            )
        previous = argument


def expand_text_lists(arguments: Sequence[str], *, with_folders: bool = False) -> list[str]:
    """Return the arguments with `--text a b c` written as `--text a --text b --text c`.

    A shell expands `--text *.txt` to the first form. Only existing files count as further texts,
    and folders if a folder cannot be a run; configs and checkpoints do not.
    """
    result: list[str] = []
    previous, is_list = "", False
    for argument in arguments:
        if previous == "--text":
            is_list = True  # this is the value of the option
        elif is_list and _is_text(argument, with_folders):
            result.append("--text")
        else:
            is_list = argument.startswith("--text=")
        result.append(argument)
        previous = argument
    return result


def _is_text(argument: str, with_folders: bool) -> bool:
    from charlm.config.load import config_names  # slow to import, and rarely needed

    if with_folders and os.path.isdir(argument):  # noqa: PTH112 - never raises
        return argument not in config_names()
    if argument.startswith("-") or not os.path.isfile(argument):  # noqa: PTH113 - never raises
        return False
    if argument in config_names() or Path(argument).suffix in (".yaml", ".yml"):
        return False
    with suppress(OSError), Path(argument).open("rb") as file:
        return file.read(9)[8:] != b"{"  # where the header of a checkpoint begins
    return True


def expand_escapes(text: str) -> str:
    r"""Replace the escapes `\n`, `\t`, `\r` and `\\`; keep other backslashes.

    This is for --stop only: a newline is common there, and not every shell supports `$'…'`. A
    prefix is taken literally, because LaTeX, Windows paths and code contain backslashes.
    """
    return re.sub(r"\\([ntr\\])", lambda match: _ESCAPES[match[1]], text)


def name_options(message: str, arguments: Sequence[str]) -> str:
    """Replace the keys in a message with the options that set them on this command line."""
    keys = {"--text": "corpus.paths"} | {name: one.key for name, one in SETTING_OPTIONS.items()}
    for argument in arguments:
        option = argument.partition("=")[0]
        option = SHORT_OPTIONS.get(option[:2], option)
        key = keys.get(option, f"generation.{option.removeprefix('--').replace('-', '_')}")
        if option.startswith("--"):
            message = re.sub(rf"(?<![\w.]){re.escape(key)}(?=:| (?:is|was) )", option, message)
    return message.removeprefix("--set: ") if message.startswith("--set: --") else message
