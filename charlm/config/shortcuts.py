"""Short names of the most common keys: `budget` means `training.budget`."""

import json
from collections.abc import Iterable
from typing import TypedDict

from charlm.errors import ConfigError
from charlm.suggestions import did_you_mean_key


class Shortcuts(TypedDict, total=False):
    """Values of keys by their short names; None leaves a key unchanged."""

    records: str | None
    column: str | None
    budget: str | float | int | None
    """Seconds, or a time such as 90s, 3m or 1h30m."""
    epochs: float | int | None
    steps: int | None
    learning_rate: float | int | None
    batch_size: int | None
    sequence_length: int | None
    seed: int | None
    deterministic: bool | None
    cell: str | None
    layers: int | None
    hidden_size: int | None
    dropout: float | int | None


KEYS = {
    "records": "corpus.records",
    "column": "corpus.column",
    "budget": "training.budget",
    "epochs": "training.epochs",
    "steps": "training.steps",
    "learning_rate": "training.learning_rate",
    "batch_size": "batches.batch_size",
    "sequence_length": "batches.sequence_length",
    "seed": "training.seed",
    "deterministic": "training.deterministic",
    "cell": "model.cell",
    "layers": "model.num_layers",
    "hidden_size": "model.hidden_size",
    "dropout": "model.dropout",
}
"""The key of each short name."""


def with_shortcuts(settings: Iterable[str], shortcuts: Shortcuts) -> list[str]:
    """Return the values of short names as `section.key=value` settings, then the other settings.

    Raises `ConfigError` for another name, for a value that no config file can hold, and if a short
    name and a setting set the same key.
    """
    if isinstance(settings, str):
        raise ConfigError(f"settings is {settings!r}: should be a list, as in [{settings!r}]")
    settings = list(settings)
    keys = {setting.partition("=")[0].strip() for setting in settings}
    values = {name: value for name, value in shortcuts.items() if value is not None}
    for name in values:
        if name not in KEYS:
            remedy = (
                did_you_mean_key(name, KEYS) or "give other keys in settings=['section.key=value']"
            )
            raise ConfigError(f"{name}= is no short name of a key; {remedy}")
        if KEYS[name] in keys:
            raise ConfigError(
                f"{name}= and the setting {KEYS[name]} set the same key; give one of them"
            )
    return [
        *(f"{KEYS[name]}={_written(value, name)}" for name, value in values.items()),
        *settings,
    ]


def _written(value: object, name: str) -> str:
    """Return a value as a config file holds it; a number of NumPy is one of Python."""
    number = getattr(value, "item", None)
    try:
        return json.dumps(number() if callable(number) else value, ensure_ascii=False)
    except (TypeError, ValueError):
        raise ConfigError(f"{name}={value!r}: should be a number, a text, True or False") from None
