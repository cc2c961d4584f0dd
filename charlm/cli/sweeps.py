"""Read the values of --seeds and --sweep."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from charlm.cli.usage_errors import similar_names
from charlm.errors import CharlmError, ConfigError
from charlm.formatting import count

_MAX_SEEDS = 1000
"""Largest number of seeds that a range contains."""
_MOST_NAMED_KEYS = 3
"""Number of keys that an error names, at most."""
_BRACKETS = {"[": "]", "{": "}", "(": ")", '"': '"', "'": "'"}


def series_arguments(seeds: str | None, sweep: Sequence[str]) -> dict[str, Any]:
    """Return the arguments for `train_series` from the options; an empty dict without any."""
    if seeds is None and not sweep:
        return {}
    return {"seeds": parse_seeds(seeds) if seeds else [], "sweep": parse_sweep(sweep)}


def parse_seeds(text: str) -> list[int]:
    """Return the seeds that a text such as `0-2`, `0,3,7` or `0-2,7` names."""
    seeds: list[int] = []
    for item in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,19})\s*(?:-\s*([0-9]{1,19})\s*)?", item, re.ASCII)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if match and first > last:
            raise CharlmError(
                f"--seeds {text}: the range {item.strip()} runs backwards; use {last}-{first}"
            )
        if first > last:
            raise CharlmError(f"--seeds {text}: should be numbers such as 0-2 or 0,3,7")
        if last - first >= _MAX_SEEDS:
            raise CharlmError(f"--seeds {text}: more than {count(_MAX_SEEDS, 'seed')}; give fewer")
        seeds += range(first, last + 1)
    return seeds


def parse_sweep(texts: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of each key in texts such as `model.cell=gru,lstm`."""
    sweep: dict[str, list[str]] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        key = key.strip()
        if not (equals and re.fullmatch(r"\w+\.\w+", key)):
            raise CharlmError(f"--sweep {text}: {_remedy(key, values)}")
        if key in sweep:
            raise CharlmError(f"--sweep {key} is given twice; give all its values in one")
        sweep[key] = _split(values)
        if not all(sweep[key]):
            raise CharlmError(f"--sweep {text}: a value is empty; give it, or remove the comma")
    return sweep


def _remedy(key: str, values: str) -> str:
    """Say how a sweep is written, with the keys that a name without its section may mean."""
    from charlm.config.load import config_keys  # slow to import, and rarely needed

    meant = similar_names(key, config_keys())[:_MOST_NAMED_KEYS] if key and values else []
    if not meant:
        return "should be a key and its values, such as model.cell=gru,lstm"
    return f"{key} is not a key; use {' or '.join(_option(name, values) for name in meant)}"


def _option(key: str, values: str) -> str:
    """Return the option that trains a run for each of the values of a key."""
    values = re.sub(r",\s+", ",", values.strip())
    return f"--seeds {values}" if key == "training.seed" else f"--sweep {key}={values}"


def refuse_several_values(settings: Iterable[str]) -> None:
    """Raise `CharlmError` for a setting with several values, such as `model.cell=gru,lstm`.

    It names the option that trains a run for each.
    """
    for setting in settings:
        key, _, text = setting.partition("=")
        key, values = key.strip(), _split(text)
        if key == "training.seed" and re.fullmatch(r"\s*[0-9]+\s*-\s*[0-9]+\s*", text):
            values = text.split("-")
        if len(values) < 2 or _is_valid(key, text):
            continue
        if all(_is_valid(key, value) for value in values):
            raise CharlmError(
                f"{key} is {text}: a run has one value; for a run of each, use {_option(key, text)}"
            )


def _is_valid(key: str, value: str) -> bool:
    from charlm.config.load import override  # slow to import, and rarely needed
    from charlm.config.schema import Config

    try:
        override(Config(), [f"{key}={value}"])
    except ConfigError:
        return False
    return True


def _split(text: str) -> list[str]:
    """Split a text at its commas, except those in brackets and quotes."""
    values, ends = [""], ""
    for character in text:
        if ends and character == ends[-1]:
            ends = ends[:-1]
        elif character in _BRACKETS and ends[-1:] not in ("'", '"'):
            ends += _BRACKETS[character]
        if character == "," and not ends:
            values.append("")
        else:
            values[-1] += character
    return [value.strip() for value in values]
