"""Say which option, or which key of `--set`, an unknown option means."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from itertools import takewhile
from typing import Any

from charlm.cli.setting_options import SETTING_OPTIONS

_MOST_NAMED = 3
"""Number of options or keys that an error names, at most."""


def describe_unknown_option(option: str, command: Any, arguments: Sequence[str]) -> str:
    """Return an error for an option that a command does not have."""
    known = [name for one in command.params for name in (*one.opts, *one.secondary_opts)]
    value = _value_of(option, arguments)
    meant = _like(option, known)
    if "--set" in known:
        meant = _settings_like(option, value, known) or meant
    hint = " or ".join(meant[:_MOST_NAMED])
    name = "charlm" if hasattr(command, "commands") else f"charlm {command.name}"
    remedy = f"use {hint}" if hint else f"`{name} --help` lists the options"
    return f"{option}: {name} has no such option; {remedy}"


def _settings_like(option: str, value: str, known: Sequence[str]) -> list[str]:
    """Return the options and settings of the keys that an option may mean."""
    from charlm.config.load import config_keys  # slow to import, and rarely needed

    names = {one.key: name for name, one in SETTING_OPTIONS.items() if name in known}
    found = _like(option, config_keys())[:_MOST_NAMED]
    return [f"--set {key}={value}" + (f" or {names[key]}" if key in names else "") for key in found]


def _like(option: str, names: Iterable[str]) -> list[str]:
    """Return the names that an option may be: equal, a beginning, the initials, or similar."""
    wanted = option.lstrip("-").replace("-", "_").lower()
    plain: dict[str, list[str]] = {}
    for name in names:
        plain.setdefault(name.rpartition(".")[2].lstrip("-").replace("-", "_"), []).append(name)
    for fits in (
        lambda name: name in (wanted, f"num_{wanted}"),
        lambda name: len(wanted) > 1 and name.startswith(wanted),
        lambda name: len(wanted) > 1 and "".join(word[:1] for word in name.split("_")) == wanted,
        lambda name: name in get_close_matches(wanted, [*plain], _MOST_NAMED, 0.7),
    ):
        if found := [one for name, written in plain.items() if fits(name) for one in written]:
            return found
    return []


def _value_of(option: str, arguments: Sequence[str]) -> str:
    """Return the value that was given to an option, or an ellipsis."""
    for place, argument in enumerate(takewhile(lambda word: word != "--", arguments)):
        name, equals, value = argument.partition("=")
        if name == option and equals:
            return value
        following = [*arguments[place + 1 : place + 2]]
        if name == option and following and not following[0].startswith("-"):
            return following[0]
    return "…"
