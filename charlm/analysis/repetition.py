"""Say how the settings of a run differ from the defaults, and which command repeats it."""

import json
import shlex
from functools import cache
from typing import Any, NamedTuple

from charlm.config.load import config_names, load_config
from charlm.config.schema import Config
from charlm.config.shortcuts import KEYS

_SHORT = {key: name.replace("_", "-") for name, key in KEYS.items()}
"""The option of `charlm train` for each key that has one."""
_NOT_SETTINGS = ("corpus.paths",)


class Difference(NamedTuple):
    """A setting and another value of it, both as YAML writes them."""

    key: str
    value: str
    other: str


def differences(config: Config, other: Config | None = None) -> list[Difference]:
    """Return the settings of a config that differ from those of another one, or the defaults."""
    ours, theirs = _values(config), _values(other or Config())
    return [
        Difference(key, written(value), written(theirs[key]))
        for key, value in ours.items()
        if value != theirs[key]
    ]


def command_to_repeat(config: Config) -> str:
    """Return the `charlm train` command with these settings, from the shipped config next to them.

    With a time budget, the number of steps depends on the machine.
    """
    bases = {name: _shipped(name) for name in config_names()}
    changed = {
        name: [one for one in differences(config, base) if one.key not in _NOT_SETTINGS]
        for name, base in bases.items()
    }
    name = min(changed, key=lambda name: (len(changed[name]), name != "quickstart", name))
    words = ["charlm", "train", name]
    for path in config.corpus.paths:
        words += ["--text", path]
    for one in changed[name]:
        if one.key == "corpus.builtin" and config.corpus.paths:
            continue  # --text resets it
        short = _SHORT.get(one.key)
        if short is None or one.value in ("null", "true", "false"):
            words += ["--set", f"{one.key}={one.value}"]
        else:
            words += [f"--{short}", json.loads(one.value) if one.value[0] == '"' else one.value]
    return shlex.join(words)


def written(value: Any) -> str:
    """Return a value as YAML reads it, in one line."""
    return json.dumps(value, ensure_ascii=False)


def _values(config: Config) -> dict[str, Any]:
    sections = config.model_dump(mode="json")
    return {
        f"{section}.{key}": value
        for section, values in sections.items()
        for key, value in values.items()
    }


@cache
def _shipped(name: str) -> Config:
    return load_config(name)
