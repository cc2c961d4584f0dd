"""Short names of the keys that everyone changes: `budget` is `training.budget`."""

import json
from collections.abc import Iterable
from typing import TypedDict

from charlm.errors import ConfigError


class Shortcuts(TypedDict, total=False):
    """Values of keys by their short names; None leaves a key as it is."""

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

    Raises `ConfigError` if a short name and a setting set the same key.
    """
    settings = list(settings)
    keys = {setting.partition("=")[0].strip() for setting in settings}
    values = {name: value for name, value in shortcuts.items() if value is not None}
    for name in values:
        if KEYS[name] in keys:
            raise ConfigError(
                f"{name}= and the setting {KEYS[name]} set the same key; give one of them"
            )
    return [*(f"{KEYS[name]}={json.dumps(value)}" for name, value in values.items()), *settings]
